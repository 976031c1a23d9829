"""Any delivery becomes an event or a reason, never an exception, and what cannot be read is never guessed."""

import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wallet_pipeline.collect.page_loader import open_staging
from wallet_pipeline.collect.webhooks.inbox import Delivery
from wallet_pipeline.collect.webhooks.understanding import Event, EventMapping, NotUnderstood, understand
from wallet_pipeline.settings import Settings

DOCS = Path(__file__).resolve().parents[3] / "docs"
MAPPING = EventMapping.from_settings(Settings.model_construct())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECEIVED_AT = 1_768_120_260_000_001
DELIVERY_ID = RECEIVED_AT + 5

TOLD: dict[str, Any] = {
    "eventId": "event-1",
    "eventType": "Pass:Installed",
    "timestamp": "2026-01-11T08:30:00.1234567Z",
    "passId": "pass-1",
    "passType": "loyalty",
    "device": "apple",
    "activeRegistrationCount": 2,
    "identifiers": {"email": "a@example.com", "customerId": "C-1"},
    "metadata": {"note": "x"},
}
EVENT = Event(
    delivery_id=DELIVERY_ID,
    received_at=RECEIVED_AT,
    source="webhook",
    pass_id="pass-1",
    wallet="apple",
    kind="installed",
    event_id="event-1",
    occurred_at=1_768_120_200_123_456,
    time_is_receipt=False,
    active_registrations=2,
    pass_type="loyalty",
    identifiers='{"customerId":"C-1","email":"a@example.com"}',
    acquisition_source=None,
)


def delivered(body: bytes) -> Delivery:
    """Return a body as the inbox holds it."""
    return Delivery(RECEIVED_AT, "webhook", sha256(body).digest(), body, DELIVERY_ID)


def said(body: bytes | dict[str, Any], mapping: EventMapping = MAPPING) -> Event | NotUnderstood:
    """Return what a body, or the JSON of an object, is understood to say."""
    return understand(delivered(body if isinstance(body, bytes) else json.dumps(body).encode()), mapping)


def event(**changes: Any) -> Event:
    """Return what the usual delivery is understood to say with some members changed."""
    understood = said(TOLD | changes)
    assert isinstance(understood, Event), understood
    return understood


def reason(**changes: Any) -> str:
    """Return why the usual delivery with some members changed is not understood."""
    understood = said(TOLD | changes)
    assert isinstance(understood, NotUnderstood), understood
    return understood.reason


def without(*names: str) -> dict[str, Any]:
    """Return the usual delivery without some members."""
    return {name: value for name, value in TOLD.items() if name not in names}


# One event, however it is written


def test_delivery_becomes_an_event() -> None:
    """Each member of the body is found and becomes its column."""
    assert said(TOLD) == EVENT


SPELLINGS = ("Pass:Installed", "pass.installed", "PASS.INSTALLED", " pass:installed ")
SAME_TIMES = (
    "2026-01-11T08:30:00.1234567Z", "2026-01-11t08:30:00.123456z", "2026-01-11 08:30:00.123456999+00:00",
    "2026-01-11T10:30:00.123456+02:00", "2026-01-11T03:00:00,123456-0530",
)  # fmt: skip


@st.composite
def bodies_of_the_event(draw: st.DrawFn) -> bytes:
    """Return a body that says what the usual one says, in another envelope, order and spelling."""
    told = TOLD | {
        draw(st.sampled_from(["eventType", "type"])): draw(st.sampled_from(SPELLINGS)),
        "timestamp": draw(st.sampled_from(SAME_TIMES)),
        "device": draw(st.sampled_from(["apple", "Apple", " APPLE "])),
        "passId": draw(st.sampled_from(["pass-1", " pass-1\n"])),
        "activeRegistrationCount": draw(st.sampled_from([2, "2", " 2 "])),
        "identifiers": dict(draw(st.permutations([*TOLD["identifiers"].items()]))),
    }
    if "type" in told:
        told["eventType"] = draw(st.sampled_from([None, "", "  "]))
    told |= draw(st.dictionaries(st.sampled_from(["tenantId", "version", "secretive"]), st.integers() | st.none()))
    members = draw(st.permutations([*told.items()]))
    below = draw(st.sets(st.sampled_from([*told])))
    top = {name: value for name, value in members if name not in below}
    body = top | {"data": {name: value for name, value in members if name in below}} if below else top
    indent, ascii_only = draw(st.sampled_from([None, 2])), draw(st.booleans())
    return (
        draw(st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]))
        + json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    )


@settings(deadline=None)
@given(bodies_of_the_event())
def test_spelling_and_envelope_do_not_matter(body: bytes) -> None:
    """Every way of writing one event gives the same event."""
    assert said(body) == EVENT


@pytest.mark.parametrize("written", ["Pass:Uninstalled", "pass.uninstalled"])
def test_uninstall_is_told_from_install(written: str) -> None:
    """The other event type gives the other kind."""
    assert event(eventType=written).kind == "uninstalled"


def test_first_path_that_hits_counts() -> None:
    """Paths are tried in their order, each at the top and then below `data`; null and blank are no hit."""
    body = TOLD | {"eventId": None, "id": "top", "data": {"eventId": "below"}}
    assert said(body) == EVENT._replace(event_id="below")
    assert said(body | {"data": {"eventId": " "}}) == EVENT._replace(event_id="top")


def test_mapping_follows_the_settings() -> None:
    """Each path of the settings leads to its value, at any depth."""
    told = {
        "pass": {"ref": "pass-1", "kind": "loyalty", "ids": TOLD["identifiers"], "on": {"wallet": "apple", "count": 2}},
        "what": {"happened": "Pass:Installed", "when": TOLD["timestamp"], "number": "event-1"},
    }
    paths = Settings(
        event_type_at=("what.happened",),
        event_id_at=("what.number",),
        event_time_at=("what.when",),
        event_pass_id_at=("nowhere", "pass.ref"),
        event_pass_type_at=("pass.kind",),
        event_wallet_at=("pass.on.wallet",),
        event_identifiers_at=("pass.ids",),
        event_active_count_at=("pass.on.count",),
    )
    mapping = EventMapping.from_settings(paths)
    assert said(told, mapping) == EVENT
    assert said({"data": told}, mapping) == EVENT


def test_connector_is_understood() -> None:
    """What the vendor's hooks hand over is found where the connector puts it."""
    body = without("activeRegistrationCount") | {"additionalInformation": {"activeRegistrationCount": 2}}
    assert said(body) == EVENT


# Never an exception

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["Pass:Installed", "apple"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*TOLD]) | st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from([*TOLD, "data", "type", "id"]), json_values).map(
        lambda changes: json.dumps(TOLD | changes).encode()
    )
)
def test_any_bytes_are_an_event_or_a_reason(body: bytes) -> None:
    """Whatever comes, there is an event whose texts can be stored, or a known reason."""
    understood = said(body)
    if isinstance(understood, Event):
        told = "".join(value for value in understood if isinstance(value, str))
        assert "\0" not in told
        assert told.encode()
    else:
        assert understood.reason in REASONS or understood.reason.startswith(OTHER_TYPE)


@settings(deadline=None)
@given(st.integers(0, 300), st.binary(max_size=4))
def test_body_that_was_cut_or_changed_is_an_event_or_a_reason(place: int, other: bytes) -> None:
    """A body with some bytes replaced or its end missing is no exception either."""
    whole = json.dumps(TOLD).encode()
    for body in (whole[:place], whole[:place] + other + whole[place + len(other) :]):
        assert isinstance(said(body), Event | NotUnderstood)


OTHER_TYPE = "event type is no install or uninstall"
HALF = "NUL or half a character in the"
DEEP = b'{"a":' * 100_000


def member(name: str, written: str) -> bytes:
    """Return the usual body with a member written as given."""
    return (json.dumps(without(name))[:-1] + f', "{name}": {written}}}').encode()


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "text": (b"hello", "not JSON"),
    "cut off": (json.dumps(TOLD).encode()[:-1], "not JSON"),
    "two values": (b"{}{}", "not JSON"),
    "Latin 1": ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": (json.dumps(TOLD).encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": (json.dumps(TOLD).encode("utf-16-le"), "not JSON"),
    "NaN": (member("more", "NaN"), "not JSON: NaN or Infinity"),
    "infinity": (member("more", "-Infinity"), "not JSON: NaN or Infinity"),
    "list": (b"[" + json.dumps(TOLD).encode() + b"]", "not a JSON object"),
    "number": (b"5", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "name twice": (member("more", '{"a": 1, "a": 1}'), "a name twice in one object"),
    "pass id twice": (json.dumps(TOLD).encode()[:-1] + b', "passId": "pass-1"}', "a name twice in one object"),
    "deep objects": (DEEP, "nested too deeply"),
    "levels beyond 64": (member("n", "[" * 64 + "]" * 64), "nested too deeply"),
    "endless identifiers": (
        member("identifiers", '{"a": "' + "x" * 10_000 + '"}'),
        "identifiers of more than 10000 characters",
    ),
    "deep lists": (b"[" * 250_000, "nested too deeply"),
    "deep identifiers": (member("identifiers", '{"a":' * 3000 + "1" + "}" * 3000), "nested too deeply"),
    "huge number": (member("more", "9" * 4301), "a number of more than 4300 digits"),
    "NUL among identifiers": (member("identifiers", r'{"a": "x\u0000"}'), f"{HALF} identifiers"),
    "NUL in a name": (member("identifiers", r'{"a\u0000": "x"}'), f"{HALF} identifiers"),
    "half a character": (member("identifiers", r'{"a": "\ud83d"}'), f"{HALF} identifiers"),
    "half a character in a name": (member("identifiers", r'{"\ude00": 1}'), f"{HALF} identifiers"),
    "event id with NUL": (member("eventId", r'"e\u0000"'), f"{HALF} event id"),
    "event id with half a character": (member("eventId", r'"e\ud83d"'), f"{HALF} event id"),
    "pass type with NUL": (member("passType", r'"e\u0000"'), f"{HALF} pass type"),
    "pass id with half a character": (
        member("passId", r'"\ud83d"'),
        "pass id is not a printable text of up to 200 characters",
    ),
}


@pytest.mark.parametrize(("body", "expected"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_body_has_a_reason(body: bytes, expected: str) -> None:
    """A body that cannot be read is not understood, for a reason that says what is wrong with it."""
    assert said(body) == NotUnderstood(expected)


def test_largest_whole_number_is_understood() -> None:
    """A number of 4300 digits is still one."""
    assert said(member("identifiers", f'{{"n": {"9" * 4300}}}')) == EVENT._replace(identifiers=f'{{"n":{"9" * 4300}}}')


def test_nul_in_what_nobody_uses_does_no_harm() -> None:
    """A NUL in a member that is not mapped changes nothing."""
    assert said(member("metadata", r'{"note": "\u0000"}')) == EVENT


# Type, pass, wallet


@pytest.mark.parametrize("name", ["Pass:Created", "pass.updated", "x" * 60])
def test_other_event_type_is_named(name: str) -> None:
    """An event of another type is not understood, and its type is told."""
    assert reason(eventType=name) == f"{OTHER_TYPE}: {name}"


@pytest.mark.parametrize("name", ["x" * 61, "anna@example.com", "Pass Created", "Pass:Créated", "a\nb", "\0"])
def test_event_type_that_may_be_personal_is_not_quoted(name: str) -> None:
    """A type that is long, or of unusual characters, is left out of the reason."""
    assert reason(eventType=name) == OTHER_TYPE


@pytest.mark.parametrize("value", [5, 1.5, True, ["Pass:Installed"], {"name": "Pass:Installed"}])
def test_event_type_is_text(value: Any) -> None:
    """A type of another JSON type is not understood."""
    assert reason(eventType=value) == "event type is not text"


@pytest.mark.parametrize("blank", [None, "", " \n"])
@pytest.mark.parametrize(
    ("name", "expected"), [("eventType", "no event type"), ("passId", "no pass id"), ("device", "no wallet")]
)
def test_what_every_event_needs_is_missed(name: str, expected: str, blank: Any) -> None:
    """Without type, pass id or wallet a delivery is not understood; null and blank text count as absent."""
    assert (reason(**{name: blank}), said(without(name))) == (expected, NotUnderstood(expected))


@pytest.mark.parametrize(
    ("value", "kept"), [("pass-1", "pass-1"), ("Ünï 1", "Ünï 1"), ("x" * 200, "x" * 200), (7, "7")]
)
def test_pass_id_is_kept(value: Any, kept: str) -> None:
    """A pass id is a text; a whole number becomes one."""
    assert event(passId=value).pass_id == kept


@pytest.mark.parametrize("value", ["x" * 201, "a\tb", "a\0b", 1.5, True, ["pass-1"], {"id": "pass-1"}])
def test_unusable_pass_id_is_not_understood(value: Any) -> None:
    """A pass id that is too long, not printable, or neither text nor whole number is not understood."""
    assert reason(passId=value) == "pass id is not a printable text of up to 200 characters"


def test_unknown_wallet_is_an_event() -> None:
    """A wallet that nobody knows is kept, lower-cased; the status rules say that it is no evidence."""
    assert event(device=" Samsung ").wallet == "samsung"


@pytest.mark.parametrize("value", [5, 1.5, True, ["apple"], {"name": "apple"}, "app\tle", "x" * 201])
def test_unusable_wallet_is_not_understood(value: Any) -> None:
    """A wallet that is no printable text is not understood."""
    assert reason(device=value) == "wallet is not a printable text of up to 200 characters"


# Event id, pass type, count


@pytest.mark.parametrize(("value", "kept"), [("e", "e"), (12, "12"), (10**30, "1" + "0" * 30), (1.5, "1.5")])
def test_event_id_is_text_or_number(value: Any, kept: str) -> None:
    """An event id is kept as written."""
    assert event(eventId=value).event_id == kept


@pytest.mark.parametrize("value", [None, "", " ", True, ["e"], {"e": 1}])
def test_without_an_event_id_the_body_is_the_id(value: Any) -> None:
    """Where there is no event id it is the SHA-256 of the body as it came, in hex."""
    body = json.dumps(TOLD | {"eventId": value}).encode()
    assert said(body) == EVENT._replace(event_id=sha256(body).hexdigest())


@pytest.mark.parametrize(("value", "kept"), [("offer", "offer"), (None, None), (5, None), (["a"], None), (1.5, None)])
def test_pass_type_is_text_or_absent(value: Any, kept: str | None) -> None:
    """A pass type of another JSON type counts as absent."""
    assert event(passType=value).pass_type == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"tags": ["a"], "medium": "email", "origin": "newsletter", "userAgent": "Mozilla"}, "email/newsletter"),
        ({"medium": "email", "origin": None}, "email"),
        ({"medium": " ", "origin": "https://shop.example.com/card?customer=7#top"}, "https://shop.example.com/card"),
        ({"medium": "é 💳", "origin": "<b>"}, "é 💳/<b>"),
        ("app", "app"),
        *((value, None) for value in (None, {}, {"medium": 1, "origin": ["a"]}, {"tags": ["a"]}, 5, True, ["app"])),
        *((value, None) for value in ("a\nb", "x" * 201, "\ud83d", "?customer=7")),
    ],
)
def test_source_of_a_registration_is_medium_and_origin(value: Any, kept: str | None) -> None:
    """Of where a registration came from medium and origin are kept, or a text; what cannot be read counts as absent."""
    assert event(registrationSource=value).acquisition_source == kept


def test_source_may_stand_below_the_additional_information() -> None:
    """As for the counts it is not published where the source hangs; other places are a setting."""
    below = {"registrationSource": {"medium": "qrcode"}}
    assert event(additionalInformation=below).acquisition_source == "qrcode"
    mapping = EventMapping.from_settings(Settings.model_construct(event_source_at=("metadata.note",)))
    assert said(TOLD, mapping) == EVENT._replace(acquisition_source="x")


@pytest.mark.parametrize(("value", "kept"), [(0, 0), (3, 3), ("0", 0), (" 12 ", 12), (10**18 - 1, 10**18 - 1)])
def test_active_count_is_a_whole_number(value: Any, kept: int) -> None:
    """The active count is a whole number, or one as text."""
    assert event(activeRegistrationCount=value).active_registrations == kept


@pytest.mark.parametrize("value", [None, "", " "])
def test_absent_count_is_none(value: Any) -> None:
    """Without an active count the event says nothing of other devices."""
    assert event(activeRegistrationCount=value).active_registrations is None


@pytest.mark.parametrize(
    "value", [-1, "-1", 1.0, "1.0", 1e3, True, False, "one", "²", "٣", [1], {"n": 1}, 10**18, "0x1"]
)
def test_unusable_count_is_not_understood(value: Any) -> None:
    """A count that is no whole number from 0 up is never guessed: it may decide that a pass is still installed."""
    assert reason(activeRegistrationCount=value) == "active count is no whole number from 0 up"


# Time


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-01-11T08:30:00Z", datetime(2026, 1, 11, 8, 30, tzinfo=UTC)),
        ("2026-01-11T08:30Z", datetime(2026, 1, 11, 8, 30, tzinfo=UTC)),
        ("2026-01-11T08:30:00.1Z", datetime(2026, 1, 11, 8, 30, 0, 100_000, tzinfo=UTC)),
        ("2026-01-11T08:30:00.9999999Z", datetime(2026, 1, 11, 8, 30, 0, 999_999, tzinfo=UTC)),
        ("2026-01-11T08:30:00.123456789123Z", datetime(2026, 1, 11, 8, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-01-11T23:30:00-14:00", datetime(2026, 1, 12, 13, 30, tzinfo=UTC)),
        ("2026-01-11T08:30:00+02", datetime(2026, 1, 11, 6, 30, tzinfo=UTC)),
        ("2027-01-11T08:30:00Z", datetime(2027, 1, 11, 8, 30, tzinfo=UTC)),
        ("1969-12-31T23:59:59.999999Z", EPOCH - timedelta(microseconds=1)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_time_is_kept_in_microseconds(written: str, moment: datetime) -> None:
    """A time with a zone is kept in UTC, further digits cut; one of next year is for the status rules to judge."""
    understood = event(timestamp=written)
    assert (understood.occurred_at, understood.time_is_receipt) == (
        (moment - EPOCH) // timedelta(microseconds=1),
        False,
    )


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones()), st.sampled_from(["T", " "]))
def test_any_moment_survives(moment: datetime, between: str) -> None:
    """Whatever moment is written with its offset comes out as the same microsecond, in the years 1 to 9999."""
    written = moment.isoformat(between)
    # Offsets of long ago have seconds, which ISO 8601 has not.
    understood = said(TOLD | {"timestamp": written})
    if isinstance(understood, Event):
        assert understood.occurred_at == (moment - EPOCH) // timedelta(microseconds=1)
    else:
        assert moment.year in {1, 9999} or re.search(r"[+-]\d\d:\d\d:", written)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_absent_time_is_the_receipt(value: Any) -> None:
    """Without a time it happened when it arrived, and the event says that it is so."""
    assert event(timestamp=value) == EVENT._replace(occurred_at=RECEIVED_AT, time_is_receipt=True)


@pytest.mark.parametrize("written", ["2026-01-11T08:30:00", "2026-01-11 08:30:00.5", "2026-01-11"])
def test_time_without_a_zone_is_not_understood(written: str) -> None:
    """A time that may mean several moments is not guessed."""
    assert reason(timestamp=written) == "time without a zone"


@pytest.mark.parametrize(
    "value",
    [
        "yesterday", "2026-02-30T08:30:00Z", "2026-01-11T24:00:00Z", "2026-01-11T08:30:60Z", "2026-01-11T08:30:00.Z",
        "2026-01-11Z", "20260111T083000Z", "2026-W02-7T08:30:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00", "2026-01-11T08:30:00+25:00", "٢٠٢٦-01-11T08:30:00Z", "2026-01-11T08:30:00Zulu",
        1768120200, 1768120200.5, True, ["2026-01-11T08:30:00Z"], {"at": "2026-01-11T08:30:00Z"},
    ],
)  # fmt: skip
def test_time_that_is_none_is_not_understood(value: Any) -> None:
    """What is no ISO 8601 time, numbers included, is not guessed."""
    assert reason(timestamp=value) == "time is no ISO 8601 time"


# Identifiers


def stored_by_the_page_loader(written: list[str]) -> list[str]:
    """Return identifiers as a snapshot stores them, for each JSON text that a page says."""
    passes = ",".join(f'{{"id": "{place:04}", "identifiers": {text}}}' for place, text in enumerate(written))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "staged.duckdb"
        with open_staging(file) as loader:
            loader.load({0: f"[{passes}]".encode()})
        with duckdb.connect(file, read_only=True) as con:
            return [text for (text,) in con.execute("SELECT identifiers FROM listing ORDER BY pass_id").fetchall()]


def identifiers_of(written: str) -> str | None:
    """Return the identifiers of an event whose body has them written so."""
    understood = said(member("identifiers", written))
    assert isinstance(understood, Event), understood
    return understood.identifiers


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
json_texts = st.builds(lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only), texts, st.booleans())
numbers = st.from_regex(
    r"-?(0|[1-9]\d{0,25})(\.\d{1,4})?([eE][+-]?\d{1,3})?", fullmatch=True, alphabet="-+.eE0123456789"
)


def json_objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON objects, as texts, with these values."""
    members = st.lists(st.tuples(texts, values), max_size=4, unique_by=lambda member: member[0])
    return members.map(lambda some: "{" + ", ".join(f"{json.dumps(name)} : {value}" for name, value in some) + "}")


json_members = st.recursive(
    json_texts | numbers.filter(lambda text: text != "-0") | st.sampled_from(["true", "false", "null"]),
    lambda inner: json_objects(inner) | st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=4,
)


@settings(max_examples=settings.default.max_examples // 4, deadline=None)
@given(st.lists(json_objects(json_members), min_size=1, max_size=20))
def test_identifiers_equal_those_of_the_snapshot(written: list[str]) -> None:
    """Identifiers that an event carries are, byte for byte, what a snapshot stores for the same ones."""
    assert [identifiers_of(text) for text in written] == stored_by_the_page_loader(written)


IDENTIFIERS = {
    "sorted by code point": ('{"é": 1, "b": 2, "B": 3, "b.a": 4}', '{"B":3,"b":2,"b.a":4,"é":1}'),
    "names with dots": ('{"y2.customerId": "Y"}', '{"y2.customerId":"Y"}'),
    "fraction": ('{"n": 1.10}', '{"n":"1.10"}'),
    "exponent": ('{"n": 1E+3}', '{"n":"1E+3"}'),
    "whole number": ('{"n": 100}', '{"n":100}'),
    "minus zero": ('{"n": -0}', '{"n":"-0"}'),
    "thirty digits": ('{"n": 123456789012345678901234567890}', '{"n":123456789012345678901234567890}'),
    "nested as it came": ('{"n": {"b": 1.5, "a": 2}}', '{"n":{"b":"1.5","a":2}}'),
    "control character": (r'{"n": "\u001f\n"}', r'{"n":"\u001F\n"}'),
    "escaped backslash": (r'{"n": "\\u0000 \\u001f"}', r'{"n":"\\u0000 \\u001f"}'),
    "emoji": (r'{"n": "\ud83d\ude00"}', '{"n":"😀"}'),
    "empty": ("{}", "{}"),
}


@pytest.mark.parametrize(("written", "kept"), IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_identifiers_are_kept_as_written(written: str, kept: str) -> None:
    """Identifiers are compact JSON, sorted by name, with the digits that the event wrote."""
    assert identifiers_of(written) == kept


@pytest.mark.parametrize("value", [None, "", " "])
def test_absent_identifiers_are_none(value: Any) -> None:
    """An event without identifiers carries none."""
    assert event(identifiers=value).identifiers is None


@pytest.mark.parametrize("value", ["C-1", 5, 1.5, True, [], ["C-1"], [{"customerId": "C-1"}]])
def test_identifiers_of_another_shape_are_not_understood(value: Any) -> None:
    """Identifiers that are no object are not understood: who the customer is must not be guessed."""
    assert reason(identifiers=value) == "identifiers are no JSON object"


# Reasons

REASONS = {
    "no event type", "no pass id", "no wallet", "event type is not text", OTHER_TYPE, "time without a zone",
    "time is no ISO 8601 time", "active count is no whole number from 0 up", "identifiers are no JSON object",
    "pass id is not a printable text of up to 200 characters", "wallet is not a printable text of up to 200 characters",
    *(expected for _, expected in BAD_BODIES.values()),
}  # fmt: skip

personal = st.from_regex(r"[A-Z][a-z]{5,9}@example\.com", fullmatch=True)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*TOLD]), personal | st.lists(personal) | st.dictionaries(personal, personal)))
def test_reason_quotes_nothing_personal(changes: dict[str, Any]) -> None:
    """Whatever stands where something else is expected, the reason does not repeat it."""
    understood = said(TOLD | changes)
    if isinstance(understood, NotUnderstood):
        assert "@" not in understood.reason


@pytest.mark.parametrize("one", sorted(REASONS))
def test_reason_is_explained_in_troubleshooting(one: str) -> None:
    """The page on troubleshooting has a row for each reason."""
    assert (
        f"`{one}`"
        in (DOCS / "troubleshooting.md").read_text().partition("## Receiving events")[2].partition("\n## ")[0]
    )


def test_examples_of_the_guide_are_understood_as_it_says() -> None:
    """The first two examples of the guide are one event, and with its settings the third one is that, too."""
    page = (DOCS / "real-time.md").read_text().partition("## What is understood")[2]
    flat, below_data, own = (text.encode() for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    (lines,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    paths = {name.lower(): (path,) for name, _, path in (line.partition("=") for line in lines.split())}
    understood = said(flat)
    assert isinstance(understood, Event)
    assert said(below_data) == understood
    by_settings = said(own, EventMapping.from_settings(Settings.model_construct(**paths)))
    assert by_settings == understood._replace(
        event_id=sha256(own).hexdigest(), occurred_at=RECEIVED_AT, time_is_receipt=True
    )
