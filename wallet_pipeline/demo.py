"""The demonstration: sandbox, three daily runs, and a look at what the CRM holds in the end."""

import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import requests

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.headless import dagster_environment, log_file, run_daily, run_insights
from wallet_pipeline.settings import Settings

_HISTORY = timedelta(days=90)
_INSTALLS, _UNINSTALLS, _EDITS = 15, 10, 8
_SETTLE_WINDOW = 1
_LOG_LINES_SHOWN = 25
_TIME_LIMIT = 30
_FIELDS = (
    "wallet_status",
    "apple_wallet_installed_at",
    "google_wallet_installed_at",
    "wallet_last_changed_at",
    "wallet_last_event",
)


class DemoError(ExplainedError):
    """A step of the demonstration failed; the message says which and where to look."""


@dataclass(frozen=True)
class Sandbox:
    """Where the stand-ins answer, and the folder of their pipeline."""

    wallet_crew_url: str
    hubspot_url: str
    home: Path
    env: Mapping[str, str]

    @property
    def bi_file(self) -> Path:
        """The file for analysts."""
        return self.home / "wallet_bi.duckdb"


@contextmanager
def sandbox(root: Path, *, fresh: bool) -> Iterator[Sandbox]:
    """Start the sandbox below `root` and stop it at the end; `fresh` begins with a new world and an empty warehouse."""
    state, home = root / "sandbox-state", root / "data" / "demo"
    with _alone(root), _started(root, state, home, fresh=fresh) as box:
        yield box


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / "data").mkdir(exist_ok=True)
    with (root / "data" / "sandbox.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("A demo or `make dev` of this folder is running: stop it first.") from None
        yield


@contextmanager
def _started(root: Path, state: Path, home: Path, *, fresh: bool) -> Iterator[Sandbox]:
    if fresh:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "dagster.yaml", home / "dagster.yaml")
    command = [sys.executable, "-m", "wallet_pipeline.sandbox", "--state", str(state)]
    ports = ["--wallet-crew-port", "0", "--hubspot-port", "0"]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        answers = _wait_until_ready(process)
        yield Sandbox(answers["wallet_crew_url"], answers["hubspot_url"], home, _environment(home, answers))
    finally:
        process.terminate()
        process.wait(_TIME_LIMIT)


def run_demo(root: Path, say: Callable[[str], None]) -> None:
    """Run the demonstration in the checkout `root`, saying what happens. Raises DemoError."""
    with sandbox(root, fresh=True) as box:
        say(
            f"Sandbox: The Wallet Crew at {box.wallet_crew_url}, HubSpot at {box.hubspot_url}, a world of 2,000 passes."
        )
        say(f"Changes count as settled after {_SETTLE_WINDOW} s here, so that nobody waits (60 s otherwise).\n")
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
        time.sleep(_SETTLE_WINDOW)
        last = _daily_run(box)
        say(_outcome(box, last))
        _expect(_written(box, last) == expected, "The third run did not write exactly the contacts that differ.")
        _expect(not _wrong_contacts(box), "The CRM does not hold the truth.")
        say(_summary(box))


def _wait_until_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("sandbox ready "):
        raise DemoError("The sandbox did not start; its message stands above.")
    answers: dict[str, Any] = json.loads(line.removeprefix("sandbox ready "))
    return answers


def _environment(home: Path, answers: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment in which every setting is the demonstration's own: real credentials stay out of it."""
    ours = {name.upper() for name in Settings.model_fields}
    clean = {name: value for name, value in dagster_environment(home).items() if name.upper() not in ours}
    return clean | {
        "WALLET_CREW_BASE_URL": answers["wallet_crew_url"],
        "WALLET_CREW_TENANT_ID": answers["tenant_id"],
        "WALLET_CREW_API_KEY": answers["api_key"],
        "HUBSPOT_BASE_URL": answers["hubspot_url"],
        "HUBSPOT_ACCESS_TOKEN": answers["access_token"],
        "SETTLE_WINDOW": str(_SETTLE_WINDOW),
        "DATA_DIR": str(home.resolve()),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


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
    changes = _post(f"{box.wallet_crew_url}/sandbox/advance", {"installs": _INSTALLS, "uninstalls": _UNINSTALLS})
    edit = {"count": _EDITS, "properties": {"wallet_status": "none"}, "where_set": "wallet_status"}
    edited = _post(f"{box.hubspot_url}/sandbox/contacts/edit-some", edit)
    keys = [f"customerId={change['customer_id']}" for change in changes["changes"]]
    with duckdb.connect(box.bi_file, read_only=True) as con:
        linked = con.execute("SELECT record_id FROM crm_links WHERE list_contains(?, customer_key)", [keys]).fetchall()
    differing = {record_id for (record_id,) in linked} | {contact["id"] for contact in edited["edited"]}
    return differing, len(keys) - len(linked)


def _written(box: Sandbox, since: datetime) -> set[str]:
    """Return the contacts that the CRM itself says were written through its API since then."""
    moment = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    answer = _request("GET", f"{box.hubspot_url}/sandbox/writes", params={"since": moment}).json()
    return {write["id"] for write in answer["writes"]}


def _wrong_contacts(box: Sandbox) -> list[str]:
    """Return the linked contacts whose values in the CRM are not those of customer_wallet_status."""
    lines = _request("GET", f"{box.hubspot_url}/sandbox/contacts/all").text.splitlines()
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
        counts = con.execute(
            "SELECT count(*), count(*) FILTER (outcome = 'verified'), count(*) FILTER (reason = 'drift')"
            " FROM crm_deliveries WHERE intended_at >= ?",
            [since.replace(tzinfo=None)],
        ).fetchone() or (0, 0, 0)
        customers = _count(con, "customer_wallet_status")
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
            ("written to the CRM in the three runs", _count(con, "crm_deliveries")),
            ("verified by reading back", _count(con, "crm_deliveries WHERE outcome = 'verified'")),
            ("passes unmatched (no usable identifier)", _count(con, "unmatched_passes")),
            ("passes in conflict", _count(con, "identity_conflicts WHERE kind = 'conflict'")),
        ]
        held = con.execute(
            "SELECT 'held back: ' || reason, count(*) FROM crm_plan WHERE action = 'hold' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    lines = [f"   {label:<60} {count:>6}" for label, count in [*figures, *held]]
    return "\n".join(
        [
            "Every linked contact in the CRM holds the truth.",
            *lines,
            "",
            f"For analysts: {box.bi_file}",
            "The UI:       make dev",
        ]
    )


def _count(con: duckdb.DuckDBPyConnection, source: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {source}").fetchone()
    return int(row[0]) if row else 0


def _post(url: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = _request("POST", url, json=payload).json()
    return answer


def _request(method: str, url: str, **arguments: Any) -> requests.Response:
    """Ask the sandbox, on this machine: past any proxy."""
    with requests.Session() as session:
        session.trust_env = False
        response = session.request(method, url, timeout=_TIME_LIMIT, **arguments)
    response.raise_for_status()
    return response


def _must(succeeded: bool, step: str, box: Sandbox) -> None:  # noqa: FBT001
    if not succeeded:
        log = log_file(box.env)
        tail = "\n".join(log.read_text().splitlines()[-_LOG_LINES_SHOWN:])
        raise DemoError(f"{tail}\n\nThe demonstration failed at {step}. The whole log: {log}")


def _expect(truth: bool, otherwise: str) -> None:  # noqa: FBT001
    if not truth:
        raise DemoError(otherwise)
