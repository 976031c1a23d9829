"""What people are told of, in their words: a failed run, a check that does not hold, a run that never began."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wallet_pipeline.alerts.alert import Alert

_FIGURES = re.compile(r"[0-9a-f-]{8,}|\d+")
_ALL = "all"


@dataclass(frozen=True)
class Observation:
    """What a run has shown of a subject: an alert, or None where all is well with it.

    Two alerts of a subject with the same fingerprint tell the same.
    """

    subject: str
    alert: Alert | None
    fingerprint: str = ""


@dataclass(frozen=True)
class EndedRun:
    """A run of a job that has ended (aware, UTC)."""

    run_id: str
    job: str
    ended_at: datetime

    def __str__(self) -> str:
        return f"Run {self.run_id[:8]} of {self.name}, ended {self.ended_at:%Y-%m-%d %H:%M} UTC."

    @property
    def name(self) -> str:
        """The job in words; Dagster's own jobs have names with underscores before them."""
        return "chosen assets" if self.job.startswith("__") else f"the job {self.job}"


@dataclass(frozen=True)
class _Occasion:
    """What is said of a check that does not hold. `{}` in the reason are its figures, else its sentence is quoted."""

    title: str
    next_step: str
    reason: str = ""


_OCCASIONS = {
    "pass_snapshot.snapshot_accepted": _Occasion(
        "The list of passes is held, and the run stopped",
        "Run again if that was a passing trouble; if the list is right, approve it with the command above."
        " docs/operating.md, A held snapshot.",
    ),
    "crm_plan.no_mass_change": _Occasion(
        "The plan for the CRM was stopped",
        "Look at whom it concerns with wallet-pipeline plan. If it is wrong, find out why and run again; if it is"
        " right, do as said above. docs/operating.md, A stopped plan.",
    ),
    "wallet_events.not_silent": _Occasion(
        "Events have stopped coming",
        "Call wallet-pipeline doctor: it looks at receiver, subscriptions and inbox. docs/troubleshooting.md, Events"
        " that do not arrive.",
    ),
    # The parties' names come from the CRM: they stay in the warehouse.
    "crm_contacts.no_fights": _Occasion(
        "Somebody keeps overwriting in the CRM what the pipeline writes",
        "The table crm_fights lists each field with both sides. Take the wallet fields out of the other side's"
        " workflow, import or app. docs/crm-sync.md, Fights.",
        "{fields} fields of {customers} customers had to be put right three times or more in seven days.",
    ),
    "reconciliation.sources_agree": _Occasion(
        "The sources disagree, and the reason is not known",
        "The table reconciliation_differences lists each difference with pass or customer; docs/reconciliation.md says"
        " what may be behind it, and wallet-pipeline explain shows all that is known of a customer.",
    ),
    "crm_contacts.little_drift": _Occasion(
        "Much in the CRM was changed by others",
        "It is put right already, or by the next run. The table crm_drift lists each field with who changed it; take"
        " the wallet fields out of their workflow, import or app.",
    ),
}
_AGAIN = {
    "sync_changes": "Mend that; changes_sensor starts the job again by itself, after growing pauses.",
    "daily": "Mend that, and run again: wallet-pipeline run, or the job daily in the UI.",
    "insights": "Mend that, and run again: wallet-pipeline run, or the job insights in the UI.",
}
_LOGS = " All that a run said stands in the UI under Runs, and for one from the command line in .dagster/headless.log."


def is_alerted(check: str) -> bool:
    """Tell whether anybody is told of a check, named `asset.check`, that does not hold."""
    return check in _OCCASIONS


def of_check(run: EndedRun, check: str, sentence: str, figures: Mapping[str, object], *, holds: bool) -> Observation:
    """Return what a check has shown. A plan of changes and one of all customers are two subjects."""
    subject = f"check {check} {run.job if run.job == 'sync_changes' else _ALL}"
    if holds:
        return Observation(subject, None)
    occasion = _OCCASIONS[check]
    reason = occasion.reason.format_map(defaultdict(lambda: "?", figures)) if occasion.reason else sentence
    return Observation(subject, Alert(occasion.title, reason, occasion.next_step, str(run)))


def of_success(run: EndedRun) -> Observation:
    """Return that a job went well."""
    return Observation(_of_job(run.job), None)


def of_failure(run: EndedRun, reason: str) -> Observation:
    """Return that a run failed. Reasons that differ in figures only are the same."""
    alert = Alert(
        f"A run of {run.name} failed",
        reason,
        _AGAIN.get(run.job, "Mend that, and materialise them again.") + _LOGS,
        str(run),
    )
    return Observation(_of_job(run.job), alert, _FIGURES.sub("", reason))


def of_no_run(since: datetime) -> Observation:
    """Return that a run from the command line, started then (aware), failed without getting into the book of runs."""
    alert = Alert(
        "A run could not begin",
        "Dagster ended before it had booked the run: the program, its settings or the disk are not in order.",
        "The reason stands at the end of .dagster/headless.log. Call wallet-pipeline doctor, and run again.",
        f"Started from the command line, {since:%Y-%m-%d %H:%M} UTC.",
    )
    return Observation("no run", alert)


def of_failure_untold(since: datetime, why: str) -> Alert:
    """Return that a run from the command line failed, and that more cannot be told for a reason."""
    return Alert(
        "A run failed, and alerts are out of order",
        why,
        "Mend that; the reason of the failure stands at the end of .dagster/headless.log. Until then each failed run"
        " from the command line is told in this way.",
        f"Started from the command line, {since:%Y-%m-%d %H:%M} UTC.",
    )


def _of_job(job: str) -> str:
    return f"job {job}"
