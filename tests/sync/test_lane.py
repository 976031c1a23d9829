"""The lane to the CRM: one run at a time, and changes that are due pass a run of all customers."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.sync.conftest import GOOGLE, NONE, Account, Pipeline
from tests.waiting import wait_until
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.write import DeliveryResult

KEY = "customerId=C-1"
# Three waves of sixteen slices.
_SWEEP = 4_800


def lane(pipeline: Pipeline) -> Lane:
    """Return a run's way to the CRM."""
    return Lane(pipeline.open_warehouse, pipeline.destination, pipeline.staging, pipeline.rules, lambda: pipeline.now)


@contextmanager
def taken(pipeline: Pipeline) -> Iterator[None]:
    """Let another run have the lane, in the middle of its plan, for the length of a block."""
    reached, left = threading.Event(), threading.Event()

    class Waiting(Lane):
        def _let_changes_pass(self) -> None:
            reached.set()
            left.wait(30)

    run = Waiting(pipeline.open_warehouse, pipeline.destination, pipeline.staging, pipeline.rules, lambda: pipeline.now)
    with ThreadPoolExecutor(1) as other:
        planned = other.submit(run.plan, "all")
        assert reached.wait(30)
        try:
            yield
        finally:
            left.set()
            planned.result(30)


@pytest.mark.usefixtures("record_id")
def test_changes_are_left_to_the_run_that_has_the_lane(pipeline: Pipeline) -> None:
    """A run of changes neither plans nor sends while another one has the lane, and the change stays due."""
    pipeline.event(KEY, GOOGLE)
    with taken(pipeline):
        left = lane(pipeline).plan("changes"), lane(pipeline).deliver("changes")
    assert (left, pipeline.sql("SELECT customer_key FROM wallet.changed_customers")) == ((None, None), [(KEY,)])


def test_who_caused_drift_is_left_to_the_run_that_has_the_lane(
    account: Account, pipeline: Pipeline, record_id: str
) -> None:
    """A run of changes does not ask the CRM beside another run; with the lane it does."""
    account.edit(record_id, wallet_status="none")
    pipeline.plan()
    with taken(pipeline):
        left = lane(pipeline).name_authors("changes")
    found = lane(pipeline).name_authors("changes")
    assert (left, found and found.named) == (None, 1)


@pytest.mark.usefixtures("record_id")
def test_a_run_of_all_customers_waits_for_the_lane(pipeline: Pipeline) -> None:
    """A second daily run begins when the first one has let go of the lane."""
    pipeline.customer(KEY, GOOGLE)
    with ThreadPoolExecutor(1) as threads:
        with taken(pipeline):
            second = threads.submit(lane(pipeline).plan, "all")
            with pytest.raises(TimeoutError):
                second.result(0.3)
        plan = second.result(30)
    assert plan is not None
    assert plan.by_action == {"update": 1}


def sweep(pipeline: Pipeline) -> DeliveryResult | None:
    """Plan and send all customers in one lane, as the daily run does."""
    run = lane(pipeline)
    run.plan("all")
    return run.deliver("all")


def begin_sweep(account: Account, pipeline: Pipeline, threads: ThreadPoolExecutor) -> "Future[DeliveryResult | None]":
    """Let a run that creates thousands of contacts begin on a slow CRM, and return when its first wave is under way."""
    pipeline.sql(
        f"INSERT INTO wallet.customer_wallet_status BY NAME SELECT 'customerId=S-' || i AS customer_key,"
        f" 'customerId' AS identifier_name, 'S-' || i AS identifier_value, 's' || i || '@x.test' AS email,"
        f" 'none' AS wallet_status FROM range({_SWEEP}) t(i)"
    )
    account.switch(rate_limit=1_000, rate_window_ms=10_000)
    account.forget_requests()
    run = threads.submit(sweep, pipeline)
    wait_until(lambda: run.done() or account.requests().get("upsert", 0) > 0)
    return run


def test_a_change_passes_a_sweep(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """While thousands of customers are being sent, a customer whom an event changes is told between two waves."""
    with ThreadPoolExecutor(1) as threads:
        run = begin_sweep(account, pipeline, threads)
        pipeline.event(KEY, GOOGLE)
        wait_until(lambda: run.done() or account.wallet(record_id)["wallet_status"] == "google")
        sent_so_far = account.requests()["upsert"]
        result = run.result(120)
    assert result is not None
    assert (sent_so_far <= 32, result.verified) == (True, _SWEEP)


def test_a_mass_change_by_events_does_not_pass(account: Account, pipeline: Pipeline, record_id: str) -> None:
    """Changes that are beyond the limits are planned and stopped in between, once; the sweep goes on."""
    pipeline.use(max_none_share=0, max_none_customers=0)
    with ThreadPoolExecutor(1) as threads:
        run = begin_sweep(account, pipeline, threads)
        pipeline.event(KEY, NONE)
        result = run.result(120)
    assert result is not None
    assert (result.verified, account.wallet(record_id)["wallet_status"]) == (_SWEEP, "apple")
    assert pipeline.sql("SELECT admitted FROM crm.plans WHERE scope = 'changes'") == [(False,)]
