"""What the doctor finds about the receiver and its inbox: each kind of damage, with the right next step."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.collect.webhooks.conftest import KEY, OLD_SECRET, SECRET, RunningReceiver, locked, new_body, running
from tests.support.doctor.conftest import Home
from wallet_pipeline.collect.webhooks.inbox import Inbox

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def strict_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """Run a receiver with two secrets and no key, which has got one good delivery and several bad ones."""
    with running(tmp_path_factory.mktemp("strict"), CONNECTOR_KEY="") as receiver:
        yield receiver


@pytest.fixture
def strict(home: Home, strict_receiver: RunningReceiver) -> Home:
    """Give the installation with that receiver, its inbox and its secrets."""
    secrets = (SecretStr(OLD_SECRET), SecretStr(SECRET))
    mine = home.having(data_dir=strict_receiver.folder / "data", webhook_secrets=secrets)
    return replace(mine, receiver=strict_receiver)


def test_refused_signatures_are_told(strict: Home) -> None:
    """Wrong signatures are a problem while no right one came, and a warning afterwards; missing ones are told apart."""
    strict.receiver.deliver(new_body(), "0" * 64)
    (wrong,) = strict.findings("receiver", "refusals")
    assert (wrong.level, "Of the webhook 1 delivery with a wrong signature or key" in wrong.sentence) == (
        "problem",
        True,
    )
    assert "Compare WEBHOOK_SECRETS with the secret of the subscription" in str(wrong.next_step)
    strict.receiver.deliver(new_body())
    strict.receiver.send("POST", "/webhooks/wallet-crew", new_body())
    wrong, missing = strict.findings("receiver", "refusals")
    assert (wrong.level, missing.level) == ("warning", "warning")
    assert "without a signature or key refused since 20" in missing.sentence
    assert "Let the header X-NEOSTORE-SIGNATURE through" in str(missing.next_step)


def test_source_that_is_not_configured_is_told(strict: Home) -> None:
    """Deliveries of a connector whose key the receiver does not know are told with the setting."""
    strict.receiver.send("POST", "/connector", new_body(), {"Authorization": f"Bearer {KEY}"})
    told = [one for one in strict.findings("receiver", "deliveries") if one.level == "warning"]
    assert "the receiver knows no CONNECTOR_KEY" in told[0].sentence
    assert "Set CONNECTOR_KEY and restart `wallet-pipeline receive`" in str(told[0].next_step)


def test_repeated_bodies_are_counted(strict: Home) -> None:
    """How many deliveries came again is told."""
    body = new_body()
    for _ in range(3):
        strict.receiver.deliver(body)
    (told,) = [one for one in strict.findings("receiver", "deliveries") if one.level == "ok"]
    assert "of which 2 had been received before" in told.sentence


def test_receiver_that_cannot_write_is_told(strict: Home) -> None:
    """A locked inbox is a problem, with what the receiver itself says."""
    with locked(strict.receiver.inbox_file):
        finding = strict.finding("receiver", "answers")
    assert (finding.level, "database is locked" in finding.sentence) == ("problem", True)
    assert "close the program that holds the inbox" in str(finding.next_step)


def test_receiver_with_old_secrets_is_told(home: Home) -> None:
    """A receiver that was started with another number of secrets than the settings have now is to be restarted."""
    both = (*home.given["webhook_secrets"], SecretStr("y" * 64))
    finding = home.having(webhook_secrets=both).finding("receiver", "secrets in use")
    assert (finding.level, "started with 1 secret in WEBHOOK_SECRETS; now it holds 2" in finding.sentence) == (
        "warning",
        True,
    )


def test_no_receiver_is_told(home: Home) -> None:
    """Where real time is set up, a receiver that does not answer is a problem with what to start."""
    finding = replace(home, receiver_url=NOBODY).finding("receiver", "answers")
    assert (finding.level, f"No receiver answers at {NOBODY}" in finding.sentence) == ("problem", True)
    assert "Start `wallet-pipeline receive`" in str(finding.next_step)


def test_no_receiver_is_needed_without_real_time(patient: Home) -> None:
    """Who has not set up real time is told so, without a warning."""
    daily = replace(patient.having(webhook_secrets=()), receiver_url=NOBODY)
    daily.sql("DELETE FROM raw.wallet_events")
    for file in daily.settings.data_dir.glob("inbox*"):
        file.unlink()
    assert "Real time is not set up" in daily.finding("receiver", "answers").sentence
    found = [*daily.findings("receiver"), *daily.findings("inbox"), *daily.findings("warehouse")]
    assert {one.level for one in found} == {"ok"}


def test_other_server_at_the_address_is_told(home: Home) -> None:
    """Another program at the receiver's address is told from a receiver."""
    finding = replace(home, receiver_url=home.tenant.url).finding("receiver", "answers")
    assert (finding.level, "is no receiver (404 for /healthz)" in finding.sentence) == ("problem", True)


def test_receiver_with_an_inbox_of_its_own_is_told(home: Home, tmp_path: Path) -> None:
    """A receiver that writes into another file than the pipeline reads is a problem."""
    finding = home.having(data_dir=tmp_path).finding("receiver", "same inbox")
    assert (finding.level, "it writes into another file" in finding.sentence) == ("problem", True)
    assert "the same DATA_DIR" in str(finding.next_step)


def test_missing_inbox_is_told(home: Home, tmp_path: Path) -> None:
    """Where real time is set up, an inbox that is not there is a warning."""
    finding = home.having(data_dir=tmp_path).finding("inbox", "file")
    assert (finding.level, "nothing was ever received" in finding.sentence) == ("warning", True)
    assert not any(tmp_path.iterdir())


def test_inbox_that_nobody_has_open_is_left_as_it_is(patient: Home) -> None:
    """Looking into an inbox while no receiver runs makes none of SQLite's companions."""
    Inbox(patient.settings.inbox_file).close()
    before = sorted(patient.settings.data_dir.iterdir())
    assert patient.settings.inbox_file.with_name("inbox.sqlite-wal") not in before
    assert patient.finding("inbox", "file").level == "ok"
    assert sorted(patient.settings.data_dir.iterdir()) == before


def test_damaged_inbox_is_told(patient: Home) -> None:
    """A file that is no inbox is a problem."""
    for file in patient.settings.data_dir.glob("inbox*"):
        file.unlink()
    patient.settings.inbox_file.write_text("no database" * 100)
    finding = patient.finding("inbox", "file")
    assert (finding.level, "file is not a database" in finding.sentence) == ("problem", True)


def test_log_that_grows_is_told(patient: Home) -> None:
    """A log of SQLite that nobody clears away is told with its size."""
    log = patient.settings.inbox_file.with_name("inbox.sqlite-wal")
    os.truncate(log, 65 * 2**20)
    finding = patient.finding("inbox", "file")
    assert (finding.level, "65.0 MB in its log" in finding.sentence) == ("warning", True)
