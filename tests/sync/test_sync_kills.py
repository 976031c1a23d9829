"""kill -9 of a run that sends: nothing is lost, nothing doubled, no older state over a newer one."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from tests.sync.conftest import APPLE, GOOGLE, Account, Pipeline
from tests.sync.sender import Sender
from tests.waiting import wait_until
from wallet_pipeline.sync.lane import Lane

KNOWN, UNKNOWN = 150, 130
TIMEOUT_S = 60


@pytest.fixture
def sender(account: Account, pipeline: Pipeline) -> Iterator[Sender]:
    """Have customers whom the CRM knows with an older state, others whom it does not know, and a run ready to begin."""
    account.switch(rate_limit=100_000)
    for number in range(0, KNOWN, 50):
        inputs = [
            {"properties": {"email": f"c{n}@x.test", "customer_id": f"C-{n}"}} for n in range(number, number + 50)
        ]
        assert account.api("POST", "/crm/objects/2026-09/contacts/batch/create", {"inputs": inputs}).ok
    emails: dict[str, str | None] = {f"customerId=C-{number}": f"c{number}@x.test" for number in range(KNOWN)}
    pipeline.customers(emails, APPLE)
    pipeline.run()
    new: dict[str, str | None] = {f"customerId=N-{number}": f"n{number}@x.test" for number in range(UNKNOWN)}
    pipeline.customers(emails | new, GOOGLE)
    pipeline.close()  # the process shall have the warehouse
    sender = Sender(account, pipeline.folder)
    yield sender
    sender.kill()


def expect_truth(account: Account, pipeline: Pipeline) -> None:
    """Let one undisturbed run pass, and look whether the CRM holds the truth of each customer, once."""
    account.control("DELETE", "faults")
    pipeline.now = datetime.now(UTC)
    pipeline.run()
    held = {one["customer_id"]: one.get("wallet_status") for one in account.contacts().values()}
    assert (len(account.contacts()), set(held.values())) == (KNOWN + UNKNOWN, {"google"})
    assert len(held) == KNOWN + UNKNOWN
    assert pipeline.sql("SELECT count(*) FROM crm.deliveries WHERE outcome = 'intended'") == [(0,)]
    assert pipeline.sql("FROM crm.rejections") == []
    assert pipeline.plan().rows == 0


# Requests of a run: 2 reads for the links, 2 by customer id and 2 by e-mail for the plan; then those of the slices.
@pytest.mark.parametrize(
    ("path", "skip", "action"),
    [
        ("batch/read", 1, "delay"),  # while it plans
        ("batch/read", 6, "delay"),  # after the rows were booked as intended, before anything is written
        ("batch/update", 0, "delay"),  # a write is on its way
        ("batch/upsert", 0, "drop_after"),  # contacts were created, and the answer never came
        ("batch/read", 9, "delay"),  # what was written is being read back
    ],
)
def test_a_kill_at_a_request_is_made_good_by_the_next_run(
    account: Account, pipeline: Pipeline, sender: Sender, path: str, skip: int, action: str
) -> None:
    """Whichever request the run dies at, the next run leaves each customer told, once."""
    details = {"seconds": 2} if action == "delay" else {}
    rule = {"path": path, "skip": skip, "times": 99, "action": {"type": action, **details}}
    account.control("POST", "faults", rule)
    account.forget_requests()
    sender.begin()
    wait_until(lambda: account.requests().get(path.removeprefix("batch/"), 0) > skip)
    sender.kill()
    expect_truth(account, pipeline)


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_at_any_moment_is_made_good_by_the_next_run(
    account: Account, pipeline: Pipeline, sender: Sender, seed: int
) -> None:
    """Whenever the run dies, between two requests or in the middle of a commit, the next run makes it good."""
    sender.begin()
    time.sleep(random.Random(seed).uniform(0, 1.2))  # noqa: S311  a moment to die at
    sender.kill()
    expect_truth(account, pipeline)


def test_a_kill_while_it_asks_who_caused_drift_is_made_good(
    account: Account, pipeline: Pipeline, sender: Sender
) -> None:
    """What was not answered when the run died, the next one asks again, and each difference is named in the end."""
    edit = {"properties": {"wallet_last_event": "uninstalled"}, "source": {"type": "IMPORT", "id": "3"}}
    account.control("POST", "contacts/edit-some", {"count": KNOWN, "where_set": "wallet_last_event", **edit})
    is_history = r'propertiesWithHistory": ?\["w'
    rule = {"path": "batch/read", "body": is_history, "times": 99, "action": {"type": "delay", "seconds": 2}}
    account.control("POST", "faults", rule)
    sender.begin()
    deadline = time.monotonic() + TIMEOUT_S
    while not account.control("GET", "faults")[0]["fired"]:
        assert time.monotonic() < deadline, "no history was asked for"
    sender.kill()
    asked_before = pipeline.sql("SELECT count(*) FROM crm.drift WHERE changed_by IS NOT NULL")
    lane = Lane(
        pipeline.open_warehouse, pipeline.destination, pipeline.staging, pipeline.rules, partial(datetime.now, UTC)
    )
    lane.name_authors("all")
    named = pipeline.sql("SELECT changed_by, count(*) FROM crm.drift GROUP BY ALL")
    assert (asked_before, named) == ([(0,)], [("import 3", KNOWN)])
