"""Fights: who overwrites whom in the CRM, again and again."""

from datetime import datetime, timedelta
from typing import Any

from tests.sync.conftest import APPLE, NOW, Account, Pipeline
from wallet_pipeline.sync.drift_authors import name_authors
from wallet_pipeline.sync.fights import Fights, Parties, sum_up_fights

KEY = "customerId=C-1"
WORKFLOW = {"type": "AUTOMATION_PLATFORM", "id": "12"}
DAY = timedelta(days=1)


def drift(pipeline: Pipeline, *repaired: datetime | None, field: str = "wallet_status", **columns: Any) -> None:
    """Book discoveries of drift that were repaired at these times, or not yet, by default of one customer."""
    known = {"customer_key": KEY, "record_id": "501", "expected": "apple", "found": "none", "changed_by": "user 77"}
    row = known | {"written_by": "app 815", "field": field} | columns
    for at in repaired:
        found = (at or NOW) - timedelta(minutes=1)
        times = {"found_at": found.replace(tzinfo=None), "repaired_at": at.replace(tzinfo=None) if at else None}
        names, values = zip(*(row | times).items(), strict=True)
        marks = ", ".join("?" * len(names))
        pipeline.sql(f"INSERT INTO crm.drift ({', '.join(names)}) VALUES ({marks})", values)


def fights(pipeline: Pipeline, now: datetime = NOW) -> Fights:
    """Sum up the fights that go on."""
    with pipeline.open_warehouse() as con:
        return sum_up_fights(con, now)


def test_a_fight_names_both_parties(account: Account, pipeline: Pipeline) -> None:
    """A workflow that undoes the pipeline's write day after day is named beside the pipeline, in list and sentence."""
    record_id = account.add(email="ann@x.test", customer_id="C-1")
    pipeline.customer(KEY, APPLE, email="ann@x.test")
    pipeline.run()
    for _ in range(3):
        pipeline.now += DAY
        edited = {"properties": {"wallet_status": "none"}, "source": WORKFLOW}
        account.control("POST", f"contacts/{record_id}/edit", edited)
        pipeline.plan()
        name_authors(pipeline.open_warehouse, pipeline.destination, pipeline.rules.tolerance, pipeline.now)
        pipeline.deliver()
    ((ours,),) = pipeline.sql("SELECT DISTINCT written_by FROM crm.drift")
    last = pipeline.now.replace(tzinfo=None)
    assert pipeline.sql("FROM crm.fights") == [
        (KEY, record_id, "wallet_status", 3, last - 2 * DAY, last, ours, "workflow 12", "apple", "none")
    ]
    assert (
        "1 fields of 1 customers had to be put right three times or more in seven days:"
        f" wallet_status, workflow 12 against {ours} (1). crm_fights lists each." in str(fights(pipeline, pipeline.now))
    )


def test_two_repairs_are_no_fight(pipeline: Pipeline) -> None:
    """Neither are a third that is still open, nor three of different fields or customers."""
    drift(pipeline, NOW - DAY, NOW, None)
    drift(pipeline, NOW, field="wallet_last_event")
    drift(pipeline, NOW, customer_key="customerId=C-2")
    assert fights(pipeline) == Fights(0, 0, [])


def test_two_values_found_before_one_repair_are_one(pipeline: Pipeline) -> None:
    """What changed twice before it could be put right was put right once."""
    drift(pipeline, NOW - DAY, NOW, NOW)
    assert fights(pipeline).fields == 0


def test_three_repairs_in_more_than_seven_days_are_no_fight(pipeline: Pipeline) -> None:
    """The first of three counts no more when the last one comes seven days later."""
    drift(pipeline, NOW - 7 * DAY, NOW - DAY, NOW)
    drift(pipeline, NOW - 7 * DAY + timedelta(seconds=1), NOW - DAY, NOW, customer_key="customerId=C-2")
    assert pipeline.sql("SELECT customer_key FROM crm.fights") == [("customerId=C-2",)]


def test_a_fight_is_over_seven_days_after_its_last_repair(pipeline: Pipeline) -> None:
    """It stays in the list, and is reported no more."""
    drift(pipeline, NOW - 2 * DAY, NOW - DAY, NOW)
    over = fights(pipeline, NOW + 7 * DAY)
    assert (fights(pipeline).fields, over.fields, pipeline.sql("SELECT count(*) FROM crm.fights")) == (1, 0, [(1,)])


def test_all_who_changed_it_are_named(pipeline: Pipeline) -> None:
    """Several parties stand beside each other; an answer that named nobody is passed over; an emptied field is null."""
    drift(pipeline, NOW - 3 * DAY, changed_by="workflow 12")
    drift(pipeline, NOW - 2 * DAY, changed_by="unknown", written_by="nobody")
    drift(pipeline, NOW - DAY, changed_by=None, written_by=None)
    drift(pipeline, NOW, changed_by="import 3", found=None)
    assert pipeline.sql("SELECT times, written_by, changed_by, found FROM crm.fights") == [
        (4, "app 815", "import 3, workflow 12", None)
    ]


def test_the_most_frequent_parties_come_first(pipeline: Pipeline) -> None:
    """Customers are counted by field and parties."""
    days = (NOW - 2 * DAY, NOW - DAY, NOW)
    drift(pipeline, *days, changed_by="user 77")
    for customer in ("customerId=C-2", "customerId=C-3"):
        drift(pipeline, *days, customer_key=customer, changed_by="workflow 12")
    drift(pipeline, *days, field="wallet_last_event", changed_by="workflow 12")
    assert fights(pipeline) == Fights(
        4,
        3,
        [
            Parties("wallet_status", "app 815", "workflow 12", 2),
            Parties("wallet_last_event", "app 815", "workflow 12", 1),
            Parties("wallet_status", "app 815", "user 77", 1),
        ],
    )


def test_a_fight_with_ourselves_is_told_as_such(pipeline: Pipeline) -> None:
    """Where both sides are one app, a second pipeline is suspected."""
    drift(pipeline, NOW - 2 * DAY, NOW - DAY, NOW, changed_by="app 815")
    assert "look for a second pipeline" in str(fights(pipeline))
