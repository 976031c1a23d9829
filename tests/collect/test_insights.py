"""Daily counts are what the events say, replaced a window at a time, asked for in few calls."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.collect.snapshots import now
from tests.conftest import LIMITS, Data, Script, Tenant
from tests.waiting import wait_until
from wallet_pipeline.clients.http import ScopeError, ServiceError, UnexpectedAnswerError
from wallet_pipeline.clients.minute import MinutePacer
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


def test_day_is_known_as_of_when_it_was_asked_for(world: Tenant, data: Data) -> None:
    """An answer that comes after midnight does not make the day before whole: the time is that before the call."""
    with world.client() as service:
        moments = (LONG_AGO.isoformat(), "2020-01-02")
        read_insights(
            data.open, service, PROPERTIES, LONG_AGO, LONG_AGO + DAY,
            lambda: datetime.fromisoformat(moments[min(world.queries(), 1)]).replace(tzinfo=UTC),
        )  # fmt: skip
    assert data.rows("SELECT fetched_at::DATE FROM raw.insights_days") == [(LONG_AGO,)]


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
    "null passes": [*GOOD[:6], None, 1],
    "no type": [TODAY, None, *GOOD[2:]],
    "type that was not asked for": [TODAY, "Pass:Deleted", *GOOD[2:]],
    "no number of rows": [*GOOD[:-1], None],
    "list for a name": [*GOOD[:2], ["loyalty"], *GOOD[3:]],
    "object for a name": [*GOOD[:3], {"name": "apple"}, *GOOD[4:]],
    "truth value for a name": [*GOOD[:2], True, *GOOD[3:]],
    "fraction": [*GOOD[:5], 1.5, 1, 1],
    "negative count": [*GOOD[:5], -1, 1, 1],
    "no event": [*GOOD[:5], 0, 1, 1],
    "number too large": [*GOOD[:5], 10**30, 1, 1],
}


@pytest.mark.parametrize("row", MISSHAPEN.values(), ids=MISSHAPEN)
def test_row_of_another_shape_is_explained_and_changes_nothing(world: Tenant, data: Data, row: list[Any]) -> None:
    """A row that is not what was asked for stops the reading and names its window; what was known is in place."""
    read(data, world, now().date(), tomorrow())
    before = stored(data)
    world.spoil({"type": "replace", "body": {"rows": [GOOD, row]}}, path="insights")
    with pytest.raises(UnexpectedAnswerError, match=f"a row for {now().date()} to {tomorrow()}.*Nothing of the window"):
        read(data, world, now().date(), tomorrow())
    assert stored(data) == before


USELESS: dict[str, tuple[dict[str, Any], str]] = {
    "null instead of rows": ({"type": "replace", "body": {"rows": None}}, "without `rows`"),
    "no rows": ({"type": "replace", "body": {"columns": []}}, "without `rows`"),
    "rows that are objects": ({"type": "replace", "body": {"rows": [{"at": TODAY}]}}, "without `rows`"),
    "a page of a proxy": ({"type": "replace", "html": True}, "with text/html instead of JSON"),
    "half an answer": ({"type": "truncate", "quietly": True}, "instead of JSON"),
    "a broken server": ({"type": "status", "status": 500, "html": True}, "answered 500"),
    "a bad request": ({"type": "status", "status": 400, "body": {"detail": "no such column"}}, "no such column"),
    "a limit that never ends": ({"type": "status", "status": 429}, "429"),
}
PLENTY = {"insights_per_minute": 1_000_000}
QUICK = replace(LIMITS, pause=0.01)


@pytest.mark.parametrize(("action", "told"), USELESS.values(), ids=USELESS)
def test_useless_answer_is_explained_and_changes_nothing(
    world: Tenant, data: Data, action: dict[str, Any], told: str
) -> None:
    """Whatever comes instead of an answer stops the reading, says so, and leaves what is known as it is."""
    tables = ("insights_daily", "insights_events", "insights_days", "insights_corrections")
    read(data, world, tomorrow() - 3 * DAY, tomorrow())
    before = {table: data.rows(f"FROM raw.{table} ORDER BY ALL") for table in tables}
    world.spoil(action, path="insights")
    with pytest.raises(ServiceError, match=told):
        read(data, world, tomorrow() - 3 * DAY, tomorrow(), limits=QUICK, insights_pacer=MinutePacer(window=0.04))
    assert {table: data.rows(f"FROM raw.{table} ORDER BY ALL") for table in tables} == before


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_that_fails_for_a_moment_is_asked_again(world: Tenant, data: Data, status: int) -> None:
    """An error of the service that passes leaves no trace in the counts."""
    world.spoil({"type": "status", "status": status, "html": True}, path="insights", times=2)
    read(data, world, tomorrow() - 93 * DAY, tomorrow(), limits=QUICK)
    assert stored(data) == counted(world)


def test_limit_that_does_not_say_how_long_is_waited_for(
    world: Tenant, data: Data, everything_logged: pytest.LogCaptureFixture
) -> None:
    """After a 429 without Retry-After each further try waits a quarter of the minute: in all at least a minute."""
    world.configure(insights_wait_told=False, insights_per_minute=0)
    world.spoil(
        {"type": "meanwhile", "method": "PATCH", "path": "/sandbox/settings", "body": PLENTY}, path="insights", skip=4
    )
    read(data, world, tomorrow() - 3 * DAY, tomorrow(), limits=QUICK, insights_pacer=MinutePacer(window=1))
    pauses = re.findall(r"answered 429; trying again in ([\d.]+) s", everything_logged.text)
    assert (len(pauses), {round(float(pause), 1) for pause in pauses}) == (4, {0.3})


def test_calls_keep_to_the_limit_of_a_minute(world: Tenant, data: Data) -> None:
    """No more calls than the limit go out within any minute, here one of a second; none is refused."""
    begun = time.monotonic()
    read(data, world, LONG_AGO, LONG_AGO + 31 * 5 * DAY, insights_pacer=MinutePacer(calls=2, window=1))
    assert (time.monotonic() - begun >= 2, world.queries()) == (True, 5)


# Events of a test's own, in a year that no other test asks about


def tell(tenant: Tenant, *events: tuple[str, str, dict[str, Any]]) -> None:
    """Let Insights know of events: time, type and properties."""
    told = [{"timestamp": at, "type": kind, "properties": properties} for at, kind, properties in events]
    tenant.control("POST", "/events", told).raise_for_status()


ODD_NAMES = [
    "", " ", " loyalty", "loyalty ", "loyalty", "Loyalty", "it's", '"quoted"', "a\nb", "<script>alert(1)</script>",
    "💳 card", "x" * 20_000, "\\", "');DROP TABLE raw.insights_daily;--", "{pass_id}", "null", "é", "e\u0301",
]  # fmt: skip


def test_pass_types_are_kept_as_they_are_written(tenant: Tenant, data: Data) -> None:
    """Empty, quoted, very long or in another case: each name is a pass type of its own, letter by letter."""
    day = date(2011, 1, 1)
    for number, name in enumerate(ODD_NAMES):
        properties = {"passId": f"odd-{number}", "passType": name, "device": "apple"}
        tell(tenant, (f"{day}T10:00:00Z", "Pass:Installed", properties))
    read(data, tenant, day, day + DAY)
    assert sorted(row[2] for row in stored(data)) == sorted(ODD_NAMES)
    assert {(pass_id, name) for pass_id, name in data.rows("SELECT pass_id, pass_type FROM raw.insights_events")} == {
        (f"odd-{number}", name) for number, name in enumerate(ODD_NAMES)
    }


def test_name_that_was_cut_within_a_character_is_kept(world: Tenant, data: Data) -> None:
    """Half of a character that takes two units, as a cut to a length leaves it, becomes a replacement character."""
    row = [*GOOD[:2], "card 💳", *GOOD[3:]]
    body = json.dumps({"rows": [row]}).replace("\\udcb3", "")
    world.spoil({"type": "replace", "body": body}, path="insights")
    read(data, world, now().date(), tomorrow())
    assert [row[2] for row in stored(data)] == ["card \ufffd"]


def test_missing_names_are_empty(world: Tenant, data: Data) -> None:
    """An event without pass type, wallet or pass is counted; one without a pass is nobody's event."""
    rows = [[*GOOD[:2], None, *GOOD[3:7], 3], [*GOOD[:3], None, *GOOD[4:7], 3], [*GOOD[:4], None, 1, 1, 3]]
    world.spoil({"type": "replace", "body": {"rows": rows}}, path="insights")
    read(data, world, now().date(), tomorrow())
    kinds = [(pass_type, wallet) for _, _, pass_type, wallet, _, _ in stored(data)]
    assert kinds == [("", "apple"), ("loyalty", ""), ("loyalty", "apple")]
    assert data.rows("SELECT pass_type, wallet FROM raw.insights_events ORDER BY ALL") == kinds[:2]


def test_numbers_and_times_are_read_in_every_form(world: Tenant, data: Data) -> None:
    """Numbers as texts, and times of 0 to 7 digits, with Z or an offset, say what they say; the 7th digit is cut."""
    times = ["", *(f".{'1234567'[:digits]}" for digits in range(1, 8))]
    written = [f"{now().date()}T01:00:00{digits}{zone}" for digits in times for zone in ("Z", "+00:00")]
    rows = [[at, *GOOD[1:4], f"pass-{n}", "1", "1", "16"] for n, at in enumerate(written)]
    rows[0][0] = f"{now().date()}T03:00:00+02:00"
    world.spoil({"type": "replace", "body": {"rows": rows}}, path="insights")
    read(data, world, now().date(), tomorrow())
    micros = data.rows("SELECT epoch_us(occurred_at) % 3_600_000_000 FROM raw.insights_events ORDER BY 1")
    assert [one for (one,) in micros] == sorted(2 * [0, 100_000, 120_000, 123_000, 123_400, 123_450, 123_456, 123_456])
    assert [row[4] for row in stored(data)] == [16]


def test_wallets_are_read_in_any_case_and_unknown_ones_are_counted(tenant: Tenant, data: Data) -> None:
    """`Apple` is apple; a device of another name, or none, is counted under its name."""
    day = date(2012, 1, 1)
    for number, device in enumerate(["Apple", "apple", " GOOGLE ", "samsung", "", None]):
        properties = {"passId": f"device-{number}", "passType": "loyalty", "device": device}
        tell(tenant, (f"{day}T10:00:00Z", "Pass:Installed", properties))
    read(data, tenant, day, day + DAY)
    assert [(row[3], row[4]) for row in stored(data)] == [("", 2), ("apple", 2), ("google", 1), ("samsung", 1)]


def test_events_of_the_future_wait_for_their_day(tenant: Tenant, data: Data) -> None:
    """What Insights dates beyond the days that are read is not taken over, and not lost: its day has it."""
    later = tomorrow() + 10 * DAY
    tell(tenant, (f"{later}T10:00:00Z", "Pass:Installed", {"passId": "future-1", "passType": "a", "device": "apple"}))
    read(data, tenant, tomorrow() - 3 * DAY, tomorrow())
    assert "future-1" not in {pass_id for (pass_id,) in data.rows("SELECT pass_id FROM raw.insights_events")}
    read(data, tenant, later, later + DAY)
    assert ("future-1",) in data.rows("SELECT pass_id FROM raw.insights_events")


def fill_four_days(tenant: Tenant, first: date) -> None:
    """Let Insights know of five events on each of four days."""
    for number in range(20):
        properties = {"passId": f"{first}-{number}", "passType": "loyalty", "device": "apple"}
        tell(tenant, (f"{first + number // 5 * DAY}T10:00:00Z", "Pass:Installed", properties))


@pytest.mark.parametrize(("most", "calls"), [(20, 1), (19, 3), (10, 3), (9, 7), (5, 7)])
def test_cut_answer_is_asked_for_in_parts(tenant: Tenant, data: Data, most: int, calls: int) -> None:
    """Where the service gives so many rows and no more, the window is halved until it fits; no row is lost."""
    first = date(2013, 1, 1) + most * 4 * DAY
    fill_four_days(tenant, first)
    tenant.configure(insights_max_rows=most)
    result = read(data, tenant, first, first + 4 * DAY)
    assert (result.calls, result.events) == (calls, 20)
    assert data.rows("SELECT count(*) FROM raw.insights_events") == [(20,)]


def test_day_that_does_not_fit_into_an_answer_keeps_what_was_known(tenant: Tenant, data: Data) -> None:
    """When a day has more rows than the service gives, it is named, and what an earlier reading knew of it stays."""
    first = date(2019, 1, 1)
    fill_four_days(tenant, first)
    read(data, tenant, first, first + 4 * DAY)
    before = stored(data)
    tenant.configure(insights_max_rows=4)
    with pytest.raises(QueryTimeoutError, match=r"cut off its answer .* single day 2019-01-01.* 1 rows are missing"):
        read(data, tenant, first, first + 4 * DAY)
    assert stored(data) == before


# A reading that died


READING = """
    from datetime import UTC, date, datetime
    from functools import partial
    from pathlib import Path
    from pydantic import SecretStr
    from wallet_pipeline.clients.wallet_crew import WalletCrew
    from wallet_pipeline.collect.insights import EventProperties, read_insights
    from wallet_pipeline.warehouse.connection import connect

    with WalletCrew({url!r}, {tenant!r}, SecretStr({key!r})) as client:
        read_insights(
            partial(connect, Path({warehouse!r}), 30), client, EventProperties("passId", "passType", "device"),
            date.fromisoformat({first!r}), date.fromisoformat({until!r}), lambda: datetime.now(UTC),
        )
"""


def test_killed_reading_is_gone_on_with(world: Tenant, data: Data, start_script: Callable[[str], Script]) -> None:
    """After a kill -9 in its third call a reading asks for the missing days alone, and knows all in the end."""
    first = tomorrow() - 93 * DAY
    with data.open():
        pass
    world.spoil({"type": "delay", "seconds": 60}, path="insights", skip=2, times=1)
    script = start_script(
        READING.format(
            url=world.url,
            tenant=world.facts["tenant_id"],
            key=world.facts["api_key"],
            warehouse=str(data.warehouse),
            first=str(first),
            until=str(tomorrow()),
        )
    )
    wait_until(lambda: world.queries() == 3)
    script.process.kill()
    script.process.wait()
    assert data.rows("SELECT count(*) FROM raw.insights_days") == [(62,)]
    again = read(data, world, first, tomorrow())
    assert (again.calls, again.read_before, stored(data)) == (1, 62, counted(world))
    assert data.rows("FROM raw.insights_events ORDER BY ALL") == happened(world)


def test_reading_that_was_whole_is_read_again_whole(world: Tenant, data: Data) -> None:
    """Only a reading that broke off is gone on with: one that ended well is repeated with all its days."""
    assert [read_history(data, world).calls for _ in range(2)] == [3, 3]
    assert data.rows("FROM raw.insights_readings") == []


def test_reading_that_broke_off_long_ago_is_begun_anew(world: Tenant, data: Data) -> None:
    """What was read more than a day ago is asked for again: events may have come late since."""
    world.spoil({"type": "status", "status": 504}, path="insights", body=until(LONG_AGO + 3 * DAY), times=3)
    with pytest.raises(QueryTimeoutError):
        read(data, world, LONG_AGO, LONG_AGO + 4 * DAY)
    data.rows("UPDATE raw.insights_readings SET begun_at = begun_at - INTERVAL 1 DAY")
    again = read(data, world, LONG_AGO, LONG_AGO + 4 * DAY)
    assert (again.calls, again.read_before) == (1, 0)


def test_newest_days_are_asked_for_again_whatever_broke_off(world: Tenant, data: Data) -> None:
    """A late event is found though a long reading broke off, and its day was read by another one since."""
    world.spoil({"type": "status", "status": 400}, path="insights", times=1)
    with pytest.raises(ServiceError):
        read_history(data, world)
    read(data, world, tomorrow() - 3 * DAY, tomorrow())
    world.advance(installs=1, at=(now() - 2 * DAY).isoformat())
    again = read(data, world, tomorrow() - 3 * DAY, tomorrow())
    assert (again.read_before, again.corrected) == (0, (now().date() - 2 * DAY,))


def test_days_on_both_sides_of_a_hole_are_asked_for(world: Tenant, data: Data) -> None:
    """Of a longer range only the days are left out that the reading which broke off has, not those around them."""
    world.spoil({"type": "status", "status": 504}, path="insights", body=until(LONG_AGO + 3 * DAY), times=3)
    with pytest.raises(QueryTimeoutError):
        read(data, world, LONG_AGO, LONG_AGO + 4 * DAY)
    again = read(data, world, LONG_AGO - 2 * DAY, LONG_AGO + 6 * DAY)
    assert (again.calls, again.read_before) == (2, 3)
    assert data.rows("SELECT count(*), max(day) - min(day) + 1 FROM raw.insights_days") == [(8, 8)]
    assert data.rows("FROM raw.insights_readings") == []


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
