"""The examination: subject by subject, each on its own. Nothing is written anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wallet_pipeline.settings import MissingSettingError
from wallet_pipeline.support.doctor.alerts import examine_alerts
from wallet_pipeline.support.doctor.dagster import examine_dagster
from wallet_pipeline.support.doctor.finding import Finding
from wallet_pipeline.support.doctor.hubspot import examine_hubspot
from wallet_pipeline.support.doctor.inbox import examine_inbox
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.receiver import examine_receiver
from wallet_pipeline.support.doctor.settings import examine_settings
from wallet_pipeline.support.doctor.wallet_crew import examine_wallet_crew
from wallet_pipeline.support.doctor.warehouse import examine_warehouse


@dataclass(frozen=True)
class _Subject:
    """A subject, and the settings without which it cannot be looked at: a default may lead to somebody else's."""

    name: str
    needs: frozenset[str]
    examine: Callable[[Installation], Iterator[Finding]]


_SUBJECTS = (
    _Subject("settings", frozenset(), examine_settings),
    _Subject(
        "The Wallet Crew",
        frozenset({"WALLET_CREW_BASE_URL", "WALLET_CREW_TENANT_ID", "WALLET_CREW_API_KEY"}),
        examine_wallet_crew,
    ),
    _Subject(
        "HubSpot",
        frozenset({"HUBSPOT_BASE_URL", "HUBSPOT_ACCESS_TOKEN", "HUBSPOT_API_VERSION", "CRM_CUSTOMER_PROPERTY"}),
        examine_hubspot,
    ),
    _Subject("receiver", frozenset(), examine_receiver),
    _Subject("inbox", frozenset({"DATA_DIR"}), examine_inbox),
    _Subject("warehouse", frozenset({"DATA_DIR"}), examine_warehouse),
    _Subject("Dagster", frozenset(), examine_dagster),
    _Subject(
        "alerts",
        frozenset({"DATA_DIR", "ALERT_WEBHOOK_URL", "ALERT_EMAIL_TO", "ALERT_EMAIL_FROM", "ALERT_SMTP_URL"}),
        examine_alerts,
    ),
)


def examine(installation: Installation) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Yield each subject, and what is found about it as it is found."""
    for subject in _SUBJECTS:
        yield subject.name, _examine(subject, installation)


def _examine(subject: _Subject, installation: Installation) -> Iterator[Finding]:
    if unusable := sorted(subject.needs & installation.unusable.keys()):
        yield _not_looked_at(f"{', '.join(unusable)} cannot be used. Correct that first.")
        return
    try:
        yield from subject.examine(installation)
    except MissingSettingError:
        yield _not_looked_at("settings that it takes are missing, as said above.")


def _not_looked_at(why: str) -> Finding:
    return Finding("warning", f"Not looked at: {why}", check="all")
