"""The demonstration: daily runs, a burst of events in real time, and a look at what the CRM holds in the end."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from wallet_pipeline.demo_events import (
    INSTALLS,
    UNINSTALLS,
    Rows,
    course_since,
    derived_rows,
    send_burst,
    wait_for_crm,
    wait_for_repetitions,
)
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.headless import log_file, run_daily, run_insights
from wallet_pipeline.playground import SETTLE_WINDOW, Sandbox, daemon, receiver, sandbox
from wallet_pipeline.warehouse.queries import one_row, row_count

_HISTORY = timedelta(days=90)
_INSTALLS, _UNINSTALLS, _EDITS = 15, 10, 8
_LOG_LINES_SHOWN = 25
_FIELDS = (
    "wallet_status",
    "apple_wallet_installed_at",
    "google_wallet_installed_at",
    "wallet_last_changed_at",
    "wallet_last_event",
)


class DemoError(ExplainedError):
    """A step of the demonstration failed; the message says which and where to look."""


def run_demo(root: Path, say: Callable[[str], None]) -> None:
    """Run the demonstration in the checkout `root`, saying what happens. Raises DemoError."""
    with sandbox(root, fresh=True) as box:
        say(
            f"Sandbox: The Wallet Crew at {box.wallet_crew_url}, HubSpot at {box.hubspot_url}, a world of 2,000 passes."
        )
        say(f"Changes count as settled after {SETTLE_WINDOW} s here, so that nobody waits (60 s otherwise).\n")
        _setup_crm(box)
        today = datetime.now(UTC).date()
        say("1. First run, on 90 days of history")
        _must(run_insights(box.env, _silently, today - _HISTORY, today), "reading Insights", box)
        say(_outcome(box, _daily_run(box)))
        say("2. Again, after nothing happened")
        quiet = _daily_run(box)
        say(_outcome(box, quiet))
        _expect(_written(box, quiet) == set(), "A run after nothing happened wrote to the CRM.")
        say(f"3. After {_INSTALLS} installs, {_UNINSTALLS} uninstalls and {_EDITS} contacts edited by hand in the CRM")
        expected, without_contact = _change_the_world(box)
        if without_contact:
            say(f"   ({without_contact} of these customers have no contact: the CRM creates none without an e-mail.)")
        time.sleep(SETTLE_WINDOW)
        last = _daily_run(box)
        say(_outcome(box, last))
        _expect(_written(box, last) == expected, "The third run did not write exactly the contacts that differ.")
        say(f"4. In real time: {INSTALLS} installs and {UNINSTALLS} uninstalls, told by webhooks")
        with receiver(box), daemon(box):
            rows = _real_time(box, say)
        say("5. The daily run afterwards")
        afterwards = _daily_run(box)
        say(_outcome(box, afterwards))
        _expect(_written(box, afterwards) == set(), "The daily run found something that the events had not told.")
        _expect(derived_rows(box) == rows, "The daily run derived other rows than the events had left.")
        _expect(not _wrong_contacts(box), "The CRM does not hold the truth.")
        say("The tables are the same, row for row, whether told by events or read from the list of passes.")
        say(_summary(box))


def _real_time(box: Sandbox, say: Callable[[str], None]) -> Rows:
    """Follow a burst of deliveries into the CRM, and its repetitions; return the rows that are derived in the end."""
    began = datetime.now(UTC)
    sent = send_burst(box)
    twice, forged = sent["duplicates"], sent["badly_signed"]
    say(f"   {sent['events']} events, out of order, {twice} of them twice, and {forged} forged ones between them")
    wait_for_crm(box)
    course = course_since(box, began)
    say(f"   event to inbox:         p50 {course.to_inbox.p50:5.1f} s, p99 {course.to_inbox.p99:5.1f} s")
    _expect(course.contacts > 0, "No event reached the CRM.")
    say(f"   event to verified CRM:  p50 {course.to_crm.p50:5.1f} s, p99 {course.to_crm.p99:5.1f} s")
    rows, settled = derived_rows(box), datetime.now(UTC)
    sent = wait_for_repetitions(box)
    wait_for_crm(box)
    _expect(course.events == INSTALLS + UNINSTALLS, "The inbox does not hold each event, and nothing else.")
    _expect(derived_rows(box) == rows, "Deliveries that came again changed a row.")
    _expect(_written(box, settled) == set(), "Deliveries that came again were written to the CRM.")
    say(f"   {sent['sent_again']} events came again a minute later: no row changed, and nothing was written\n")
    return rows


def _setup_crm(box: Sandbox) -> None:
    command = [sys.executable, "-m", "wallet_pipeline.cli", "setup-crm"]
    done = subprocess.run(command, env=box.env, cwd=box.home, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DemoError(f"The demonstration failed at creating the CRM's properties: {done.stderr}")


def _daily_run(box: Sandbox) -> datetime:
    """Run the daily job and return when it began."""
    began = datetime.now(UTC)
    _must(run_daily(box.env, _silently), "the daily run", box)
    return began


def _silently(_: str) -> None:
    """Say nothing: the demonstration tells the outcome of a run, and its log file the rest."""


def _change_the_world(box: Sandbox) -> tuple[set[str], int]:
    """Let customers and a marketer act.

    Return the ids of the contacts that then differ from the truth, and how many changed customers have no contact.
    """
    counts = {"installs": _INSTALLS, "uninstalls": _UNINSTALLS}
    changes = box.ask(f"{box.wallet_crew_url}/sandbox/advance", "POST", json=counts).json()
    edit = {"count": _EDITS, "properties": {"wallet_status": "none"}, "where_set": "wallet_status"}
    edited = box.ask(f"{box.hubspot_url}/sandbox/contacts/edit-some", "POST", json=edit).json()
    keys = [f"customerId={change['customer_id']}" for change in changes["changes"]]
    with duckdb.connect(box.bi_file, read_only=True) as con:
        linked = con.execute("SELECT record_id FROM crm_links WHERE list_contains(?, customer_key)", [keys]).fetchall()
    differing = {record_id for (record_id,) in linked} | {contact["id"] for contact in edited["edited"]}
    return differing, len(keys) - len(linked)


def _written(box: Sandbox, since: datetime) -> set[str]:
    """Return the contacts that the CRM itself says were written through its API since then."""
    moment = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    answer = box.ask(f"{box.hubspot_url}/sandbox/writes", params={"since": moment}).json()
    return {write["id"] for write in answer["writes"]}


def _wrong_contacts(box: Sandbox) -> list[str]:
    """Return the linked contacts whose values in the CRM are not those of customer_wallet_status."""
    lines = box.ask(f"{box.hubspot_url}/sandbox/contacts/all").text.splitlines()
    contacts = {contact["id"]: contact["properties"] for contact in map(json.loads, lines)}
    with duckdb.connect(box.bi_file, read_only=True) as con:
        rows = con.execute(
            f"SELECT record_id, {', '.join(_FIELDS)} FROM customer_wallet_status JOIN crm_links USING (customer_key)"
        ).fetchall()
    return [record for record, *truth in rows if [_value(contacts[record].get(f)) for f in _FIELDS] != truth]


def _value(text: str | None) -> str | datetime | None:
    if text and text[0].isdigit():
        return datetime.fromisoformat(text).replace(tzinfo=None)
    return text or None


def _outcome(box: Sandbox, since: datetime) -> str:
    with duckdb.connect(box.bi_file, read_only=True) as con:
        counts = one_row(
            con,
            "SELECT count(*), count(*) FILTER (outcome = 'verified'), count(*) FILTER (reason = 'drift')"
            " FROM crm_deliveries WHERE intended_at >= ?",
            [since.replace(tzinfo=None)],
        )
        customers = row_count(con, "customer_wallet_status")
    written = len(_written(box, since))
    if written == 0:
        return f"   0 of {customers} contacts written: the CRM already holds the truth.\n"
    drift = f"; {counts[2]} of them had been edited by hand" if counts[2] else ""
    return f"   {written} of {customers} contacts written, {counts[1]} verified by reading them back{drift}.\n"


def _summary(box: Sandbox) -> str:
    with duckdb.connect(box.bi_file, read_only=True) as con:
        statuses = con.execute(
            "SELECT wallet_status, count(*) FROM customer_wallet_status GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        figures = [(f"customers with wallet_status {status}", count) for status, count in statuses] + [
            ("written to the CRM in all runs", row_count(con, "crm_deliveries")),
            ("verified by reading back", row_count(con, "crm_deliveries WHERE outcome = 'verified'")),
            ("passes unmatched (no usable identifier)", row_count(con, "unmatched_passes")),
            ("passes in conflict", row_count(con, "identity_conflicts WHERE kind = 'conflict'")),
        ]
        held = con.execute(
            "SELECT 'held back: ' || reason, count(*) FROM crm_plan WHERE action = 'hold' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        certificate = one_row(
            con,
            "SELECT day, max(verdict), sum(differences), sum(unexplained) FROM reconciliation GROUP BY day"
            " ORDER BY day DESC",
        )
        (key,) = one_row(con, "SELECT customer_key FROM crm_deliveries ORDER BY intended_at DESC, customer_key LIMIT 1")
    lines = [f"   {label:<60} {count:>6}" for label, count in [*figures, *held]]
    return "\n".join(
        [
            "Every linked contact in the CRM holds the truth.",
            *lines,
            "",
            "Pass API, inbox, Insights and CRM on {}: {}, {} differences, {} without a reason.".format(*certificate),
            f"The report:   {box.report_file}",
            f"For analysts: {box.bi_file}",
            f"Ask why:      DATA_DIR={box.bi_file.parent} .venv/bin/wallet-pipeline explain {key}",
            "The UI:       make dev",
        ]
    )


def _must(succeeded: bool, step: str, box: Sandbox) -> None:  # noqa: FBT001
    if not succeeded:
        log = log_file(box.env)
        tail = "\n".join(log.read_text().splitlines()[-_LOG_LINES_SHOWN:])
        raise DemoError(f"{tail}\n\nThe demonstration failed at {step}. The whole log: {log}")


def _expect(truth: bool, otherwise: str) -> None:  # noqa: FBT001
    if not truth:
        raise DemoError(otherwise)
