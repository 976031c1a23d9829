"""The view customer_timeline: one row for each thing that happened."""

from pathlib import Path

from wallet_pipeline.derive import statuses
from wallet_pipeline.warehouse.connection import connect


def test_timeline_has_each_event_and_each_list_once(of_ann: Path) -> None:
    """The view folds deliveries as the rules do, says which are no evidence, and shows each change of the lists."""
    with connect(of_ann, wait=5) as con:
        con.execute(f"CREATE TEMP TABLE evidence_events AS {statuses.query('evidence_events')}")
        events = con.execute(
            "SELECT pass_id, wallet, kind, occurred_at, no_evidence IS NOT NULL FROM evidence_events ORDER BY ALL"
        ).fetchall()
        seen = con.execute(
            "SELECT pass_id, wallet, what, happened_at, contains(detail, 'no evidence') FROM wallet.customer_timeline"
            " WHERE kind = 'event' ORDER BY ALL"
        ).fetchall()
        lists = con.execute(
            "SELECT strftime(happened_at, '%d'), pass_id, wallet, what FROM wallet.customer_timeline"
            " WHERE kind = 'list' AND pass_id = 'a-2' ORDER BY ALL"
        ).fetchall()
    assert seen == events
    assert lists == [
        ("01", "a-2", "apple", "listed as not installed"),
        ("01", "a-2", "google", "listed as not installed"),
        ("08", "a-2", None, "not in the list"),
        ("09", "a-2", "apple", "listed as not installed"),
        ("09", "a-2", "google", "listed as installed"),
    ]
