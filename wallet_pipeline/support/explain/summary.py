"""The summary: what matters, in a few sentences."""

from collections.abc import Mapping
from typing import Any

from wallet_pipeline.support.explain.crm import tell_fight
from wallet_pipeline.support.explain.explanation import Crm, Field, Pass, Version
from wallet_pipeline.support.explain.words import WALLETS, moment


def sum_up(
    customer_key: str | None, passes: list[Pass], row: list[Field], versions: list[Version], crm: Crm | None
) -> list[str]:
    """Return what is true of the customer, or why a pass is in none, and whether the CRM holds it."""
    if customer_key is None:
        return [one.reason for one in passes]
    state = {one.name: one.value for one in row}
    standing = next((one for one in versions if one.valid_to is None), None)
    summary = [_tell(state) if state else f"No pass belongs to {customer_key}."]
    if not _is_same(state, standing):
        summary.append(_tell_pending(standing))
    return summary + ([crm.sentence, *map(tell_fight, crm.fights)] if crm else [])


def _tell(state: Mapping[str, Any]) -> str:
    if state["wallet_last_changed_at"] is None:
        return "Was never in a wallet."
    last = f"last change {moment(state['wallet_last_changed_at'])}, {state['wallet_last_event']}"
    since = {name: state[f"{wallet}_wallet_installed_at"] for wallet, name in WALLETS.items()}
    held = [f"{name} since {moment(at)}" for name, at in since.items() if at]
    return f"Is in {' and in '.join(held)}; {last}." if held else f"Is in no wallet; {last}."


def _is_same(state: Mapping[str, Any], standing: Version | None) -> bool:
    if standing is None:
        return not state
    return bool(state) and all(getattr(standing, name) == value for name, value in state.items())


def _tell_pending(standing: Version | None) -> str:
    held = (
        f"still holds {standing.wallet_status}, of {moment(standing.valid_from)}" if standing else "holds nothing yet"
    )
    return (
        f"This is what the evidence says; the pipeline {held}. The next run derives it anew, unless the settings of the"
        " rules were changed since."
    )
