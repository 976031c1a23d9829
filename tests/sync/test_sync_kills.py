"""kill -9 of a run that sends: nothing is lost, nothing doubled, no older state over a newer one."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.sync.conftest import APPLE, GOOGLE, Account, Pipeline
from tests.sync.sender import Sender

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


def wait_for(account: Account, path: str, count: int) -> None:
    """Return when the CRM has received so many requests of a kind."""
    deadline = time.monotonic() + TIMEOUT_S
    while account.requests().get(path, 0) < count:
        assert time.monotonic() < deadline, f"no {count} requests of {path}"


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
    wait_for(account, path.removeprefix("batch/"), skip + 1)
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
