"""The stand-in of The Wallet Crew shows what its documentation says, over real HTTP."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import TIMEOUT_S, Sandbox, running

from wallet_pipeline.sandbox.insights import CallLimit

Start = Callable[..., subprocess.CompletedProcess[str]]


def sort_by(field: str, direction: str = "ASC") -> dict[str, str]:
    """Return the parameters that sort by one field."""
    return {"sortBy[0].field": field, "sortBy[0].direction": direction}


def filter_by(field: str, operator: str, value: str) -> dict[str, str]:
    """Return the parameters of one filter."""
    return {"filter[0].field": field, "filter[0].operator": operator, "filter[0].value": value}


def event_types(sandbox: Sandbox, pass_id: str) -> list[str]:
    """Return the types of a pass's events, oldest first."""
    query = f"Events | where tostring(properties.passId) == '{pass_id}' | order by timestamp asc | project eventType"
    return [event_type for (event_type,) in sandbox.rows(query)]


# The list of passes


def test_page_has_twenty_passes_unless_asked_otherwise(sandbox: Sandbox) -> None:
    """A page that is asked for without a size has twenty passes."""
    assert len(sandbox.passes()) == 20


def test_page_larger_than_the_maximum_is_cut(sandbox: Sandbox) -> None:
    """A page size above the server's maximum is cut to it without an error."""
    sandbox.control("PATCH", "/settings", {"max_page_size": 50})
    assert len(sandbox.passes(pageSize=1000)) == 50


def test_pages_hold_every_pass_once(sandbox: Sandbox) -> None:
    """All pages together hold each pass exactly once."""
    pages = [sandbox.passes(pageSize=300, pageIndex=index, **sort_by("id")) for index in range(8)]
    ids = [listed["id"] for page in pages for listed in page]
    assert (len(ids), len(set(ids)), pages[7]) == (2000, 2000, [])


def test_total_is_in_a_header(sandbox: Sandbox) -> None:
    """Each page tells the number of all passes in x-pagination-total."""
    assert sandbox.get(pageSize=1).headers["x-pagination-total"] == "2000"


def test_total_can_be_left_out(sandbox: Sandbox) -> None:
    """The header with the total can be switched off."""
    sandbox.control("PATCH", "/settings", {"send_total": False})
    assert "x-pagination-total" not in sandbox.get().headers


@pytest.mark.parametrize("field", ["id", "passType", "creationDate", "lastUpdateDate", "identifiers.customerId"])
def test_sorting_descends_or_ascends(sandbox: Sandbox, field: str) -> None:
    """Sorted upwards, the values grow; sorted downwards, they come in the opposite order."""

    def values(direction: str) -> list[Any]:
        pages = [sandbox.passes(pageSize=1000, pageIndex=index, **sort_by(field, direction)) for index in (0, 1)]
        found = [(listed["identifiers"] or {}) if "." in field else listed for page in pages for listed in page]
        present = [entry.get(field.rpartition(".")[2]) for entry in found]
        return [str(value)[:19] for value in present if value is not None]

    upwards = values("ASC")
    assert (sorted(upwards), values("DESC")) == (upwards, upwards[::-1])


def test_filter_reads_identifier_names_with_dots(sandbox: Sandbox) -> None:
    """A filter finds a pass by an identifier whose name has a dot."""
    bearer = next(listed for listed in sandbox.all_passes() if "y2.customerId" in (listed["identifiers"] or {}))
    value = bearer["identifiers"]["y2.customerId"]
    found = sandbox.passes(**filter_by("identifiers.y2.customerId", "equals", value))
    assert {listed["identifiers"]["y2.customerId"] for listed in found} == {value}


@pytest.mark.parametrize("wallet", ["apple", "google"])
def test_installation_status_counts_the_installed_passes(sandbox: Sandbox, wallet: str) -> None:
    """The total of the filter `installationStatus contains` is the number of passes with an installation date."""
    total = sandbox.get(pageSize=1, **filter_by("installationStatus", "contains", wallet)).headers["x-pagination-total"]
    assert int(total) == sum(bool((listed["providers"] or {}).get(wallet)) for listed in sandbox.all_passes())


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (sort_by("colour"), "sortBy[0].field"),
        (sort_by("id", "SIDEWAYS"), "sortBy[0].direction"),
        (filter_by("creationDate", "equals", "2026-01-01"), "filter[0].field"),
        (filter_by("passType", "startsWith", "l"), "filter[0].operator"),
        ({"pageSize": "0"}, "pageSize"),
        ({"pageIndex": "-1"}, "pageIndex"),
    ],
)
def test_wrong_parameter_is_a_validation_problem(sandbox: Sandbox, params: dict[str, str], name: str) -> None:
    """A parameter that the Pass API does not know is answered by 400, which names it."""
    answer = sandbox.get(**params)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])


# Who may read


@pytest.mark.parametrize(("key", "status"), [("nobody", 401), ("sandbox-key-insights-only", 403)])
def test_key_decides(sandbox: Sandbox, key: str, status: int) -> None:
    """A wrong key is answered by 401, a key without the scope by 403."""
    assert sandbox.get(key=key).status_code == status


def test_forbidden_names_the_scope(sandbox: Sandbox) -> None:
    """A 403 says which scope the key lacks."""
    assert "Pass.Read" in sandbox.get(key=sandbox.facts["keys"]["insights_only"]).json()["detail"]


def test_other_tenant_is_not_found(sandbox: Sandbox) -> None:
    """A key does not open another tenant."""
    other = sandbox.http.get(f"{sandbox.url}/api/another-tenant/passes", timeout=TIMEOUT_S)
    assert (other.status_code, other.json()["title"]) == (404, "Not Found")


def test_errors_are_problem_details(sandbox: Sandbox) -> None:
    """An error's body has the members of RFC 7807."""
    answer = sandbox.get("/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(answer.json())


# The server's clock


def test_clock_can_be_wrong(sandbox: Sandbox) -> None:
    """The Date header runs ahead by the seconds that are set."""
    sandbox.control("PATCH", "/settings", {"date_offset_seconds": 600})
    ahead = parsedate_to_datetime(sandbox.get().headers["date"]) - datetime.now(UTC)
    assert timedelta(seconds=570) < ahead < timedelta(seconds=630)


def test_date_can_be_left_out(sandbox: Sandbox) -> None:
    """The Date header can be switched off."""
    sandbox.control("PATCH", "/settings", {"send_date": False})
    assert "date" not in sandbox.get().headers


def test_unknown_setting_is_refused(sandbox: Sandbox) -> None:
    """A setting with a wrong name is answered by 400, which names it."""
    answer = sandbox.control("PATCH", "/settings", {"colour": "blue"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "colour")


# Insights


def test_insights_runs_kql(sandbox: Sandbox) -> None:
    """A grouped query gives a row a group, by position."""
    rows = sandbox.rows("Events | summarize events=count() by eventType | order by eventType asc | project eventType")
    assert rows == [["Pass:Created"], ["Pass:Installed"], ["Pass:Uninstalled"], ["Pass:Updated"]]


def test_events_have_the_documented_columns(sandbox: Sandbox) -> None:
    """The table Events has the columns that the vendor documents, and `properties` is an object."""
    ((event_id, timestamp, tenant, event_type, operation, properties),) = sandbox.rows(
        "Events | where eventType == 'Pass:Installed' | take 1"
        " | project eventId, timestamp, tenantId, eventType, operationId, properties"
    )
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event_id)
    assert datetime.fromisoformat(timestamp).tzinfo == UTC
    assert (tenant, event_type, bool(operation)) == (sandbox.facts["tenant_id"], "Pass:Installed", True)
    assert set(properties) == {"passId", "passType", "device", "activeRegistrationCount", "identifiers"}


@pytest.mark.parametrize("table", ["Logs", "Metrics"])
def test_other_tables_exist_and_are_empty(sandbox: Sandbox, table: str) -> None:
    """The tables Logs and Metrics can be queried."""
    assert sandbox.rows(f"{table} | count") == [[0]]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("Events | wher x", "parse"),
        ("Nothing | take 1", "Nothing"),
        ("Events | summarize count() by properties.device", "dynamic"),
        ("passes | take 1", "passes"),
        (".drop table Events", "drop"),
    ],
)
def test_query_that_kusto_refuses_is_a_problem(sandbox: Sandbox, query: str, says: str) -> None:
    """A query that cannot be run is answered by 400 with the reason, the grouping by a dynamic value included."""
    answer = sandbox.ask(query)
    assert (answer.status_code, says in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("more", [{"limit": 5}, {"parameters": {"day": 1}}])
def test_insights_refuses_what_the_schema_does_not_allow(sandbox: Sandbox, more: dict[str, Any]) -> None:
    """Other keys in the body, and parameters that are no strings, are answered by 400."""
    assert sandbox.ask("Events | count", **more).status_code == 400


def test_parameters_are_bound(sandbox: Sandbox) -> None:
    """A declared parameter takes the value of the body."""
    query = "declare query_parameters(wanted:string); Events | where eventType == wanted | distinct eventType"
    assert sandbox.ask(query, parameters={"wanted": "Pass:Created"}).json()["rows"] == [["Pass:Created"]]


def test_insights_does_not_say_how_long_to_wait_where_told_not_to(sandbox: Sandbox) -> None:
    """The limit can be played without a Retry-After."""
    sandbox.control("PATCH", "/settings", {"insights_per_minute": 0, "insights_wait_told": False})
    answer = sandbox.ask("Events | count")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)


def test_insights_cuts_long_answers_without_a_word(sandbox: Sandbox) -> None:
    """An answer has so many rows and no more."""
    sandbox.control("PATCH", "/settings", {"insights_max_rows": 2})
    assert len(sandbox.rows("Events | project eventId")) == 2


def test_insights_tells_of_events_that_were_put_there(changing_sandbox: Sandbox) -> None:
    """An event of one's own is found among the others, its time in UTC."""
    event = {"timestamp": "1999-12-31T23:00:00+01:00", "type": "Pass:Installed", "properties": {"passId": "own"}}
    assert changing_sandbox.control("POST", "/events", [event]).json() == {"events": 1}
    query = (
        "Events | where timestamp < datetime(2000-01-01) | project timestamp, eventType, tostring(properties.passId)"
    )
    assert changing_sandbox.rows(query) == [["1999-12-31T22:00:00Z", "Pass:Installed", "own"]]


def test_event_without_a_zone_is_refused(changing_sandbox: Sandbox) -> None:
    """A time that could mean several moments is told as wrong."""
    refused = changing_sandbox.control(
        "POST", "/events", [{"timestamp": "2026-01-01T00:00:00", "type": "Pass:Created"}]
    )
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "0.timestamp")


def test_insights_limits_the_calls_of_a_minute(sandbox: Sandbox) -> None:
    """A call above the limit is answered by 429 with the seconds to wait."""
    sandbox.control("PATCH", "/settings", {"insights_per_minute": 0})
    answer = sandbox.ask("Events | count")
    assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= 60) == (429, True)


def test_limit_is_that_of_a_sliding_minute() -> None:
    """Calls count for a minute, and the wait is the time until the oldest of them counts no more."""
    times = [0.0, 20.0, 45.5, 60.0, 61.0]
    limit = CallLimit(clock=iter(times).__next__)
    assert [limit.take(allowed=2) for _ in times] == [0, 0, 15, 0, 19]


# Changes


def test_install_shows_in_the_list_and_in_the_events(changing_sandbox: Sandbox) -> None:
    """An install gives the pass its date, to the microsecond, and appends an event."""
    (change,) = changing_sandbox.advance(installs=1)
    listed = changing_sandbox.find(change["pass_id"])
    assert listed is not None
    assert (listed["providers"][change["wallet"]], event_types(changing_sandbox, change["pass_id"])[-1]) == (
        change["at"],
        "Pass:Installed",
    )


def test_uninstall_takes_the_date_away(changing_sandbox: Sandbox) -> None:
    """An uninstalled pass has no date for that wallet any more."""
    (change,) = changing_sandbox.advance(uninstalls=1)
    (truth,) = changing_sandbox.control("GET", f"/truth?pass_id={change['pass_id']}").json()
    assert (truth[f"{change['wallet']}_at"], event_types(changing_sandbox, change["pass_id"])[-1]) == (
        None,
        "Pass:Uninstalled",
    )


def test_second_device_does_not_move_the_date(changing_sandbox: Sandbox) -> None:
    """A second device adds an event with two registrations and leaves the pass as it is."""
    before = {listed["id"]: listed for listed in changing_sandbox.all_passes()}
    (change,) = changing_sandbox.advance(second_devices=1)
    newest = changing_sandbox.rows("Events | top 1 by timestamp desc | project properties.activeRegistrationCount")
    assert (changing_sandbox.find(change["pass_id"]), newest) == (before[change["pass_id"]], [[2]])


def test_deleted_pass_leaves_the_list_and_keeps_its_events(changing_sandbox: Sandbox) -> None:
    """A deleted pass is listed no more; its events stay."""
    (change,) = changing_sandbox.advance(deletes=1)
    assert changing_sandbox.find(change["pass_id"]) is None
    assert event_types(changing_sandbox, change["pass_id"])


def test_new_pass_is_listed(changing_sandbox: Sandbox) -> None:
    """A new pass belongs to a new customer and raises the total."""
    before = changing_sandbox.total()
    (change,) = changing_sandbox.advance(new_passes=1)
    listed = changing_sandbox.find(change["pass_id"])
    assert listed is not None
    assert (listed["identifiers"], changing_sandbox.total()) == ({"customerId": change["customer_id"]}, before + 1)


def test_identifier_change_moves_the_pass(changing_sandbox: Sandbox) -> None:
    """A pass whose identifier changes bears the new one alone."""
    (change,) = changing_sandbox.advance(identifier_changes=1)
    listed = changing_sandbox.find(change["pass_id"])
    assert listed is not None
    assert listed["identifiers"] == {"customerId": change["new_customer_id"]}


def test_changes_of_one_call_are_apart(changing_sandbox: Sandbox) -> None:
    """The changes of one call fall on different customers, at strictly growing times of this moment."""
    changes = changing_sandbox.advance(
        installs=20, uninstalls=20, deletes=5, new_passes=5, identifier_changes=5, second_devices=5
    )
    times = [datetime.fromisoformat(change["at"]) for change in changes]
    assert len({change["customer_id"] for change in changes}) == 60
    assert all(earlier < later for earlier, later in pairwise(times))
    assert timedelta(0) <= datetime.now(UTC) - times[-1] < timedelta(seconds=TIMEOUT_S)


def test_change_can_be_dated_back(changing_sandbox: Sandbox) -> None:
    """A change dated to a past time falls on a pass whose history lies before it."""
    at = datetime.now(UTC) - timedelta(days=30)
    changes = changing_sandbox.advance(installs=30, at=at.isoformat())
    newest = dict(changing_sandbox.rows("Events | summarize max(timestamp) by passId=tostring(properties.passId)"))
    times = [datetime.fromisoformat(newest[change["pass_id"]]) for change in changes]
    assert times == [at + timedelta(microseconds=place) for place in range(30)]


def test_too_many_changes_are_refused_as_a_whole(changing_sandbox: Sandbox) -> None:
    """When the world has too few passes for a change, the answer is 409 and nothing has changed."""
    before = changing_sandbox.all_passes()
    answer = changing_sandbox.control("POST", "/advance", {"installs": 1, "uninstalls": 10_000})
    assert (answer.status_code, "10000 wanted" in answer.json()["error"]) == (409, True)
    assert changing_sandbox.all_passes() == before


def test_equal_worlds_change_alike(tmp_path: Path) -> None:
    """Two worlds of one seed draw the same passes for the same changes, while their histories are alike."""
    drawn = []
    for name in ("one", "two"):
        with running(tmp_path / name, "--passes", 300, "--seed", 11) as sandbox:
            drawn.append([change["pass_id"] for change in sandbox.advance(installs=5)])
    assert drawn[0] == drawn[1]


def test_any_pass_can_be_put(changing_sandbox: Sandbox) -> None:
    """A pass that is put is listed exactly as it was written, whatever its shape."""
    changing_sandbox.control("PUT", "/passes/odd", {"providers": ["apple"], "note": "no id"})
    assert {"providers": ["apple"], "note": "no id"} in changing_sandbox.all_passes()


def test_put_pass_can_be_deleted(changing_sandbox: Sandbox) -> None:
    """A pass is taken off the list by its id, once."""
    changing_sandbox.control("PUT", "/passes/odd", {"id": "odd"})
    assert [changing_sandbox.control("DELETE", "/passes/odd").status_code for _ in range(2)] == [204, 404]


def test_list_moves_while_it_is_read(changing_sandbox: Sandbox) -> None:
    """A moving list shows passes twice and skips others, and is at rest after the given number of page reads."""
    changing_sandbox.control("POST", "/moving-list", {"reads": 5, "every": 1})
    pages = [changing_sandbox.passes(pageSize=100, pageIndex=index, **sort_by("id")) for index in range(5)]
    ids = [listed["id"] for page in pages for listed in page]
    at_rest = [changing_sandbox.passes(pageSize=1000) for _ in range(2)]
    assert len(set(ids)) < len(ids)
    assert at_rest[0] == at_rest[1] != []


@pytest.mark.parametrize("order", [sort_by("id"), sort_by("id", "DESC"), sort_by("creationDate")])
def test_moving_list_begins_with_the_new_pass(changing_sandbox: Sandbox, order: dict[str, str]) -> None:
    """The pass that comes while the list is read stands first in the order that is read, and has its event."""
    first = changing_sandbox.passes(pageSize=1, **order)[0]["id"]
    changing_sandbox.control("POST", "/moving-list", {"reads": 1, "every": 1})
    changing_sandbox.passes(pageSize=1, **order)
    came, then = changing_sandbox.passes(pageSize=2, **order)
    assert (then["id"], event_types(changing_sandbox, came["id"])) == (first, ["Pass:Created"])


def test_pass_that_goes_makes_the_next_page_skip_one(changing_sandbox: Sandbox) -> None:
    """Every second move takes a pass of the first page away, so that the total falls again."""
    changing_sandbox.control("POST", "/moving-list", {"reads": 2, "every": 1})
    totals = [changing_sandbox.total() for _ in range(4)]
    assert [total - totals[0] for total in totals] == [0, 1, 0, 0]


# The process


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any], int]]:
    """Give the folder of a sandbox that was changed and stopped, what it had changed, and its exit status."""
    state = tmp_path_factory.mktemp("stopped")
    with running(state, "--passes", 50) as sandbox:
        (change,) = sandbox.advance(installs=1)
        yield state, change, sandbox.stop()


def test_stops_cleanly(stopped: tuple[Path, dict[str, Any], int]) -> None:
    """A sandbox that is told to stop ends with status 0."""
    assert stopped[2] == 0


def test_state_survives_a_restart(stopped: tuple[Path, dict[str, Any], int]) -> None:
    """A sandbox that is started on an old folder goes on with its world."""
    state, change, _ = stopped
    with running(state, "--passes", 50) as again:
        (truth,) = again.control("GET", f"/truth?pass_id={change['pass_id']}").json()
    assert truth[f"{change['wallet']}_at"] == change["at"]


@pytest.mark.parametrize("options", [("--passes", 51), ("--passes", 50, "--seed", 8)])
def test_folder_of_another_world_is_refused(
    start: Start, stopped: tuple[Path, dict[str, Any], int], options: tuple[object, ...]
) -> None:
    """A folder that holds a world of another seed or size is not touched."""
    ended = start(*options, state=stopped[0])
    assert (ended.returncode, "use another folder, or delete it" in ended.stderr) == (2, True)


def test_folder_in_use_is_refused(start: Start, sandbox: Sandbox) -> None:
    """Two sandboxes do not share a folder."""
    ended = start(state=sandbox.state)
    assert (ended.returncode, "cannot be used" in ended.stderr) == (2, True)


def test_port_in_use_is_refused(start: Start, sandbox: Sandbox) -> None:
    """A taken port is named in one line."""
    port = sandbox.url.rpartition(":")[2]
    ended = start("--wallet-crew-port", port)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, line.startswith(f"sandbox: port {port} cannot be used")) == (2, True)


@pytest.mark.parametrize("options", [("--passes", -1), ("--seed", "x"), ("--wallet-crew-port", 70000)])
def test_bad_option_is_refused(start: Start, options: tuple[object, ...]) -> None:
    """An option out of range ends the start with status 2 and says which."""
    ended = start(*options)
    assert (ended.returncode, str(options[0]) in ended.stderr) == (2, True)


def test_unusable_folder_is_refused(start: Start, tmp_path: Path) -> None:
    """A folder that cannot be made is named in one line."""
    (tmp_path / "file").touch()
    ended = start(state=tmp_path / "file")
    assert (ended.returncode, f"folder {tmp_path / 'file'} cannot be used" in ended.stderr) == (2, True)


def test_folder_without_the_crm_is_refused(start: Start, tmp_path: Path) -> None:
    """A folder that has lost one of its two files is not taken for a world."""
    with running(tmp_path, "--passes", 0) as sandbox:
        sandbox.stop()
    (tmp_path / "hubspot.sqlite").unlink()
    ended = start("--passes", 0, state=tmp_path)
    assert (ended.returncode, "has lost its hubspot.sqlite" in ended.stderr) == (2, True)


def test_interrupted_creation_is_begun_anew(tmp_path: Path) -> None:
    """What an interrupted creation left behind does not stand in the way of the next start."""
    for leftover in ("wallet_crew.duckdb.tmp", "wallet_crew.duckdb.tmp.wal", "hubspot.sqlite"):
        (tmp_path / leftover).write_bytes(b"half a world")
    with running(tmp_path, "--passes", 10) as sandbox:
        assert len(sandbox.passes()) == 10


def test_empty_world_is_a_world(tmp_path: Path) -> None:
    """A tenant without passes answers with an empty list."""
    with running(tmp_path, "--passes", 0) as sandbox:
        assert (sandbox.passes(), sandbox.get().headers["x-pagination-total"]) == ([], "0")


def test_crm_knows_the_contacts_of_the_world(sandbox: Sandbox) -> None:
    """The CRM stand-in beside it answers with contacts of the same world."""
    answer = requests.get(
        f"{sandbox.facts['hubspot_url']}/crm/objects/2026-09/contacts?properties=customer_id",
        headers={"Authorization": f"Bearer {sandbox.facts['access_token']}"},
        timeout=TIMEOUT_S,
    )
    assert any((contact["properties"]["customer_id"] or "").startswith("C-") for contact in answer.json()["results"])
