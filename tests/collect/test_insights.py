"""Daily counts are what the events say, replaced a window at a time, asked for in few calls."""

import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.collect.snapshots import now
from tests.conftest import Data, Tenant
from wallet_pipeline.clients.http import ScopeError, UnexpectedAnswerError
from wallet_pipeline.clients.wallet_crew import QueryTimeoutError
from wallet_pipeline.collect.insights import EventProperties, InsightsRead, read_insights

PROPERTIES = EventProperties(pass_id="passId", pass_type="passType", device="device")
DAY = timedelta(days=1)
LONG_AGO = date(2020, 1, 1)


def read(
    data: Data, tenant: Tenant, first: date, until: date, properties: EventProperties = PROPERTIES, **client: Any
) -> InsightsRead:
    """Read the days from first until before until into the warehouse."""
    with tenant.client(**client) as service:
        return read_insights(data.open, service, properties, first, until, now)


def read_history(data: Data, tenant: Tenant) -> InsightsRead:
    """Read all days of the world's history, 93 of them."""
    return read(data, tenant, tomorrow() - 93 * DAY, tomorrow())


def tomorrow() -> date:
    """Return the UTC day after this one."""
    return now().date() + DAY


def stored(data: Data) -> list[tuple[Any, ...]]:
    """Return the counts in the warehouse."""
    return data.rows("FROM raw.insights_daily ORDER BY ALL")


def counted(tenant: Tenant) -> list[tuple[Any, ...]]:
    """Return the counts made here, one by one, of the events that Insights lists."""
    query = (
        "Events | project timestamp, eventType, passType = tostring(properties.passType),"
        " device = tostring(properties.device), passId = tostring(properties.passId)"
    )
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for timestamp, event_type, pass_type, device, pass_id in tenant.rows(query):
        groups[date.fromisoformat(timestamp[:10]), event_type, pass_type, device or ""].append(pass_id)
    return sorted((*group, len(passes), len(set(passes))) for group, passes in groups.items())


def test_counts_are_those_of_the_events(world: Tenant, data: Data) -> None:
    """The counts of 93 days equal a count of all events, one by one."""
    read_history(data, world)
    assert stored(data) == counted(world)


def test_reading_tells_what_it_read(world: Tenant, data: Data) -> None:
    """The result has the window, the calls, and the rows and events that the table now holds."""
    result = read_history(data, world)
    ((rows, events),) = data.rows("SELECT count(*), sum(events)::BIGINT FROM raw.insights_daily")
    assert result == InsightsRead(tomorrow() - 93 * DAY, tomorrow(), 3, rows, events, ())


@pytest.mark.parametrize(("days", "calls"), [(1, 1), (31, 1), (32, 2), (93, 3)])
def test_month_is_one_call(world: Tenant, data: Data, days: int, calls: int) -> None:
    """A range of days costs one call for each 31 of them."""
    read(data, world, tomorrow() - days * DAY, tomorrow())
    assert world.queries() == calls


def test_empty_range_is_no_call(world: Tenant, data: Data) -> None:
    """A range without a day asks nothing."""
    assert (read(data, world, LONG_AGO, LONG_AGO).calls, world.queries()) == (0, 0)


def test_window_is_replaced(world: Tenant, data: Data) -> None:
    """Reading the same days again doubles nothing."""
    read_history(data, world)
    before = stored(data)
    read_history(data, world)
    assert stored(data) == before


def test_days_outside_the_window_stay(world: Tenant, data: Data) -> None:
    """Reading three days again leaves the other ones as they are."""
    read_history(data, world)
    before = stored(data)
    world.spoil({"type": "replace", "body": {"rows": []}}, path="insights")
    read(data, world, tomorrow() - 3 * DAY, tomorrow())
    assert stored(data) == [row for row in before if row[0] < tomorrow() - 3 * DAY]


def test_late_events_are_counted_and_the_days_told(world: Tenant, data: Data) -> None:
    """Events that arrive for days read already are counted when these are read again; which days is told and kept."""
    read_history(data, world)
    before = stored(data)
    world.advance(installs=3, uninstalls=2, at=(now() - 2 * DAY).isoformat())
    again = read(data, world, tomorrow() - 4 * DAY, tomorrow())
    assert stored(data) == counted(world) != before
    assert again.corrected == (now().date() - 2 * DAY,)
    changes = "event_type, sum(events_after - events_before)::BIGINT"
    assert data.rows(f"SELECT {changes} FROM raw.insights_corrections GROUP BY 1 ORDER BY 1") == [
        ("Pass:Installed", 3),
        ("Pass:Uninstalled", 2),
    ]
    assert read(data, world, tomorrow() - 4 * DAY, tomorrow()).corrected == ()


def test_day_that_goes_on_is_no_correction(world: Tenant, data: Data) -> None:
    """That the counts of today grow is told of no day."""
    read_history(data, world)
    world.advance(installs=3)
    assert read(data, world, tomorrow() - DAY, tomorrow()).corrected == ()
    assert stored(data) == counted(world)


def happened(tenant: Tenant) -> list[tuple[Any, ...]]:
    """Return creations, installs and uninstalls as Insights lists them."""
    query = (
        "Events | where eventType in ('Pass:Created', 'Pass:Installed', 'Pass:Uninstalled') | project timestamp,"
        " eventType, passId = tostring(properties.passId), passType = tostring(properties.passType),"
        " device = tostring(properties.device)"
    )
    return sorted(
        {
            (
                datetime.fromisoformat(at).replace(tzinfo=None),
                kind.partition(":")[2].lower(),
                *(text or "" for text in texts),
            )
            for at, kind, *texts in tenant.rows(query)
        }
    )


def test_events_of_passes_are_kept_one_by_one(world: Tenant, data: Data) -> None:
    """Each creation, install and uninstall, to the microsecond, whether read once or twice."""
    for _ in range(2):
        read_history(data, world)
        assert data.rows("FROM raw.insights_events ORDER BY ALL") == happened(world)


def test_events_of_forgotten_passes_are_left_out(world: Tenant, data: Data) -> None:
    """What Insights still says of them is only counted."""
    pass_id = happened(world)[0][2]
    with data.open() as con:
        con.execute("INSERT INTO raw.erasure_key VALUES ('key')")
        con.execute("INSERT INTO raw.forgotten_passes SELECT raw.pass_hash(?), now()::TIMESTAMP", [pass_id])
    read_history(data, world)
    assert data.rows("FROM raw.insights_events ORDER BY ALL") == [one for one in happened(world) if one[2] != pass_id]
    assert stored(data) == counted(world)


def test_pass_with_two_events_is_one_pass(world: Tenant, data: Data) -> None:
    """Events and distinct passes are counted apart."""
    read_history(data, world)
    assert data.rows("SELECT DISTINCT events >= passes, max(events - passes) OVER () > 0 FROM raw.insights_daily") == [
        (True, True)
    ]


def test_names_of_the_properties_are_settings(world: Tenant, data: Data) -> None:
    """Another name of a property is asked for where the settings say so."""
    read(data, world, tomorrow() - 93 * DAY, tomorrow(), EventProperties("passId", "device", "passType"))
    assert {wallet for (wallet,) in data.rows("SELECT DISTINCT pass_type FROM raw.insights_daily")} == {
        "apple",
        "google",
        "",
    }


def test_day_without_events_is_known(world: Tenant, data: Data) -> None:
    """Days without any event are booked as read, so that they count as zero."""
    begun = now().replace(tzinfo=None)
    read(data, world, LONG_AGO, LONG_AGO + 2 * DAY)
    days = data.rows("SELECT day, fetched_at FROM raw.insights_days ORDER BY day")
    assert ([day for day, _ in days], all(begun <= at for _, at in days), stored(data)) == (
        [LONG_AGO, LONG_AGO + DAY],
        True,
        [],
    )


def test_day_read_twice_is_booked_once(world: Tenant, data: Data) -> None:
    """A day that is read again keeps one booking."""
    read(data, world, LONG_AGO, LONG_AGO + 2 * DAY)
    read(data, world, LONG_AGO + DAY, LONG_AGO + 3 * DAY)
    assert data.rows("SELECT day FROM raw.insights_days ORDER BY 1") == [(LONG_AGO + n * DAY,) for n in range(3)]


# Time-outs


def test_window_that_times_out_is_halved(world: Tenant, data: Data) -> None:
    """A month that takes too long is asked for in halves, and its counts are the same."""
    world.spoil({"type": "status", "status": 504}, path="insights", times=1)
    result = read_history(data, world)
    assert (result.calls, stored(data)) == (5, counted(world))


def test_answer_that_was_cut_is_halved(world: Tenant, data: Data) -> None:
    """An answer with fewer rows than it says is asked for in halves; nothing is missing in the end."""
    first = f"{tomorrow() - 93 * DAY}T00:00:00Z"
    world.spoil({"type": "replace", "body": {"rows": [[first, *GOOD[1:-1], 2]]}}, path="insights", times=1)
    result = read_history(data, world)
    assert (result.calls, stored(data)) == (5, counted(world))


def test_day_whose_answer_is_cut_is_named(world: Tenant, data: Data) -> None:
    """When even a single day does not fit into an answer the error names it and says what to do."""
    world.spoil({"type": "replace", "body": {"rows": [[*GOOD[:-1], 9]]}}, path="insights")
    with pytest.raises(QueryTimeoutError, match=r"cut off its answer .* single day.*higher limit\. 8 rows are missing"):
        read(data, world, now().date(), tomorrow())
    assert stored(data) == []


def test_window_is_halved_down_to_a_day(world: Tenant, data: Data) -> None:
    """Halves that time out are halved again, and each day is read once in the end."""
    world.spoil({"type": "status", "status": 504}, path="insights", times=2)
    result = read(data, world, LONG_AGO, LONG_AGO + 4 * DAY)
    days = data.rows("SELECT day FROM raw.insights_days ORDER BY 1")
    assert (result.calls, days) == (5, [(LONG_AGO + n * DAY,) for n in range(4)])


def until(day: date) -> str:
    """Return the expression that finds queries whose window ends with the day."""
    return rf"timestamp < datetime\({day + DAY}T"


def test_day_that_times_out_is_named(world: Tenant, data: Data) -> None:
    """When even a single day takes too long the error names it and says what to do."""
    world.spoil({"type": "status", "status": 504}, path="insights", body=until(LONG_AGO + DAY))
    with pytest.raises(QueryTimeoutError, match=r"the single day 2020-01-02.*run the rest later"):
        read(data, world, LONG_AGO, LONG_AGO + 2 * DAY)


def test_days_before_one_that_times_out_are_kept(world: Tenant, data: Data) -> None:
    """What was read before a day that takes too long is stored."""
    world.spoil({"type": "status", "status": 504}, path="insights", body=until(LONG_AGO + 3 * DAY))
    with pytest.raises(QueryTimeoutError):
        read(data, world, LONG_AGO, LONG_AGO + 4 * DAY)
    assert data.rows("SELECT day FROM raw.insights_days ORDER BY 1") == [(LONG_AGO + n * DAY,) for n in range(3)]


def test_limit_of_calls_is_honoured(world: Tenant, data: Data) -> None:
    """When Insights asks to wait, the reading waits as long as it is told to, and goes on."""
    fault = {"type": "status", "status": 429, "headers": {"Retry-After": "1"}}
    world.spoil(fault, path="insights", skip=1, times=1)
    begun = time.monotonic()
    read_history(data, world)
    assert (stored(data), time.monotonic() - begun >= 1, world.queries()) == (counted(world), True, 4)


# Answers that cannot be used

TODAY = f"{datetime.now(UTC).date()}T00:00:00Z"
GOOD = [TODAY, "Pass:Installed", "loyalty", "apple", "pass-1", 1, 1, 1]
MISSHAPEN: dict[str, list[Any]] = {
    "a column less": GOOD[:-1],
    "a column more": [*GOOD, 1],
    "other order": GOOD[::-1],
    "no day": [None, *GOOD[1:]],
    "no date": ["someday", *GOOD[1:]],
    "day outside": ["2019-12-31T00:00:00Z", *GOOD[1:]],
    "no number": [*GOOD[:5], "many", 1, 1],
    "null count": [*GOOD[:5], None, 1, 1],
    "no type": [TODAY, None, *GOOD[2:]],
    "no number of rows": [*GOOD[:-1], None],
}


@pytest.mark.parametrize("row", MISSHAPEN.values(), ids=MISSHAPEN)
def test_row_of_another_shape_is_explained(world: Tenant, data: Data, row: list[Any]) -> None:
    """A row that is not what was asked for stops the reading and names its window."""
    world.spoil({"type": "replace", "body": {"rows": [GOOD, row]}}, path="insights")
    with pytest.raises(UnexpectedAnswerError, match=f"a row for {now().date()} to {tomorrow()}.*Nothing of the window"):
        read(data, world, now().date(), tomorrow())


@pytest.mark.parametrize("row", MISSHAPEN.values(), ids=MISSHAPEN)
def test_row_of_another_shape_changes_nothing(world: Tenant, data: Data, row: list[Any]) -> None:
    """After an answer that cannot be used the old rows are in place."""
    read(data, world, tomorrow() - 3 * DAY, tomorrow())
    before = stored(data)
    world.spoil({"type": "replace", "body": {"rows": [GOOD, row]}}, path="insights")
    with pytest.raises(UnexpectedAnswerError):
        read(data, world, tomorrow() - 3 * DAY, tomorrow())
    assert stored(data) == before


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    """Run in another time zone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_day_without_a_zone_is_utc(world: Tenant, data: Data) -> None:
    """A day that is written without a zone is a UTC day, wherever the pipeline runs."""
    world.spoil({"type": "replace", "body": {"rows": [["2020-01-01T00:00:00", *GOOD[1:]]]}}, path="insights")
    read(data, world, LONG_AGO, LONG_AGO + DAY)
    assert [row[0] for row in stored(data)] == [LONG_AGO]


def test_missing_scope_changes_nothing(world: Tenant, data: Data) -> None:
    """A key without Insights.Read is told so, and the old rows are in place."""
    read_history(data, world)
    before = stored(data)
    with pytest.raises(ScopeError, match=r"Insights\.Read"):
        read(data, world, LONG_AGO, tomorrow(), key=world.facts["keys"]["passes_only"])
    assert stored(data) == before


def test_gap_that_an_outage_left_is_read_too(world: Tenant, data: Data) -> None:
    """A reading of the last days begins where the last one ended, however long that was ago."""
    read(data, world, tomorrow() - 30 * DAY, tomorrow() - 20 * DAY)
    read(data, world, tomorrow() - 3 * DAY, tomorrow())
    assert data.rows("SELECT count(*), max(day) - min(day) + 1 FROM raw.insights_days") == [(30, 30)]
