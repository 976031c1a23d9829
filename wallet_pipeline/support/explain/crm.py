"""The CRM's side of a customer: what is planned, sent and read back, and whether the record holds the truth."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import duckdb

from wallet_pipeline.support.explain.explanation import Crm
from wallet_pipeline.support.explain.queries import query, rows
from wallet_pipeline.support.explain.words import listed, moment
from wallet_pipeline.sync.destination import FIELDS

_HELD_AND_NEW = ", ".join(f"held_{name}, {name}" for name in FIELDS)
_QUERIES = {
    "link": "SELECT record_id, via, linked_at, departed_at FROM crm.links",
    "plan": "SELECT p.plan_id, p.planned_at, record_id, action, reason, position, s.admitted, s.verdict,"
    f" {_HELD_AND_NEW} FROM crm.plan p LEFT JOIN crm.plans s USING (plan_id)",
    "rejection": "SELECT record_id, error_class, message, next_step, first_at, last_at, attempts FROM crm.rejections",
    "deliveries": "SELECT delivery_id, plan_id, record_id, action, reason, intended_at, accepted_at, verified_at,"
    f" outcome, error_class, message, {', '.join(FIELDS)} FROM crm.deliveries",
    "drift": "SELECT record_id, field, expected, found, found_at, changed_at, changed_by, written_by, repaired_at"
    " FROM crm.drift",
    "fights": "SELECT record_id, field, times, first_repaired_at, last_repaired_at, written_by, changed_by, expected,"
    " found FROM crm.fights",
}
_ORDERS = {"deliveries": "intended_at, delivery_id", "drift": "found_at, field, found", "fights": "field"}
_HOLDS = {
    "settling": "The change is young; the next run sends it.",
    "refused before": "The CRM refused just this today. It is tried again when the row or the CRM's definitions change,"
    " and tomorrow.",
    "not in the CRM": "The CRM does not know the customer, and CRM_MISSING_CONTACTS says not to create one.",
}


_Facts = Mapping[str, Any]
_State = tuple[str, str]


def explain_crm(con: duckdb.DuckDBPyConnection, customer_key: str, tolerance: timedelta, *, is_past: bool) -> Crm:
    """Return the CRM's side of a customer; times that differ by less than `tolerance` are equal there.

    `is_past` says that the small warehouse is one of an earlier moment: of plans it then knows little.
    """
    found = {name: _of(con, name, customer_key) for name in _QUERIES}
    values = {"customer_key": customer_key, "tolerance_ms": tolerance // timedelta(milliseconds=1)}
    (facts,) = rows(con, query("crm_state"), values)
    link, plan, rejection = (next(iter(found[name]), None) for name in ("link", "plan", "rejection"))
    state, sentence = _state(facts | found | {"link": link, "plan": plan, "rejection": rejection, "is_past": is_past})
    return Crm(state, sentence, link, plan, rejection, found["deliveries"], found["drift"], found["fights"])


def tell_fight(fight: Mapping[str, Any]) -> str:
    """Return a fight in a sentence."""
    return (
        f"{fight['changed_by']} and {fight['written_by']} overwrite each other in {fight['field']}: it was put right"
        f" {fight['times']} times from {moment(fight['first_repaired_at'])} to {moment(fight['last_repaired_at'])}."
    )


def _of(con: duckdb.DuckDBPyConnection, name: str, customer_key: str) -> list[dict[str, Any]]:
    order = f" ORDER BY {_ORDERS[name]}" if name in _ORDERS else ""
    return rows(con, f"{_QUERIES[name]} WHERE customer_key = $customer_key{order}", {"customer_key": customer_key})


def _state(facts: _Facts) -> _State:
    """Return the state in a word and in a sentence. What is wrong comes first."""
    states: tuple[Callable[[_Facts], _State | None], ...] = (_not_held, _departed, _planned, _drifted, _held)
    return next(filter(None, (state(facts) for state in states)), None) or _due(facts)


def _not_held(facts: _Facts) -> _State | None:
    found = facts["rejection"]
    if found is None:
        return None
    attempts = f", {found['attempts']} attempts" if found["attempts"] else ""
    return "not held", (
        f"The CRM does not hold it: {_stopped(found['message'])} Next: {_stopped(found['next_step'])}"
        f" ({found['error_class']}{attempts}, since {moment(found['first_at'])})"
    )


def _departed(facts: _Facts) -> _State | None:
    link = facts["link"]
    if facts["stands_since"] is not None:
        return None
    if link is None:
        return "departed", "The CRM was never told of this customer."
    if link["departed_at"] is None:
        return "departed", f"The next run sees to it that CRM record {link['record_id']} holds that."
    return "departed", f"CRM record {link['record_id']} is left alone, since {moment(link['departed_at'])}."


def _planned(facts: _Facts) -> _State | None:
    """Return what is planned and was not done yet."""
    plan = facts["plan"]
    if plan is None:
        return None
    if plan["position"] is None:
        return (
            "held back",
            f"Nothing is written to the CRM: {plan['reason']}. {_HOLDS.get(plan['reason'], '')}".rstrip(),
        )
    attempts = [one for one in facts["deliveries"] if one["plan_id"] == plan["plan_id"]]
    if attempts and attempts[-1]["verified_at"]:
        return None
    if attempts:
        when = moment(attempts[-1]["intended_at"])
        return (
            "sent",
            f"It was sent at {when}; whether the CRM took it is not known yet. The next run reads the record.",
        )
    if plan["admitted"] is False:
        return "stopped", f"A write is planned, but the whole plan was stopped. {plan['verdict']}"
    what = f"{plan['action']}: {plan['reason']}"
    return "planned", f"A write is planned since {moment(plan['planned_at'])} ({what}), and was not sent yet."


def _drifted(facts: _Facts) -> _State | None:
    fields = sorted({one["field"] for one in facts["drift"] if one["repaired_at"] is None})
    if not fields:
        return None
    return "drifted", f"Somebody else changed {listed(fields)} in the CRM; the next run puts that right."


def _held(facts: _Facts) -> _State | None:
    link = facts["link"]
    read_at = [facts["verified_at"]] if facts["is_told"] else []
    if link and facts["is_compared"]:
        read_at.append(facts["compared_at"])
    if not read_at:
        return None
    record = f"CRM record {link['record_id']}" if link else "The CRM record"
    return "held", f"{record} was read to hold the same at {moment(max(read_at))}."


def _due(facts: _Facts) -> _State:
    told_at = facts["verified_at"]
    last = f" It was last read to hold {facts['told_status']}, at {moment(told_at)}." if told_at else ""
    if facts["is_changed"]:
        return "due", f"The CRM was not asked about the last change yet; the next run of changes does so.{last}"
    if facts["is_past"] and facts["compared_at"] is None:
        return "unknown", f"Whether the CRM held this then was not kept: nothing had been sent of it yet.{last}"
    return "due", f"The CRM was not compared with this yet; the next daily run does so.{last}"


def _stopped(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
