"""The world is deterministic, agrees with its own events, and is as messy as real ones."""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wallet_pipeline.sandbox import world

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,7}))?(Z|\+00:00)")
PASSES = 2000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of a world of the default size."""
    file = tmp_path_factory.mktemp("world") / "world.duckdb"
    world.create(file, seed=7, passes=PASSES, now=NOW)
    return file


@pytest.fixture(scope="module")
def connection(made: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to that world."""
    with duckdb.connect(made, read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def passes(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Give the listed passes, as the Pass API shows them."""
    return [
        json.loads(body) for (body,) in connection.execute("SELECT body FROM backstage.passes ORDER BY id").fetchall()
    ]


@pytest.fixture(scope="module")
def identifiers(passes: list[dict[str, Any]]) -> list[Any]:
    """Give the identifiers of each pass."""
    return [listed["identifiers"] for listed in passes]


@pytest.fixture(scope="module")
def histories(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Give the events of each pass and wallet in order: type, devices afterwards, time."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    rows = connection.execute(
        "SELECT properties ->> 'passId', properties ->> 'device', eventType,"
        " (properties ->> 'activeRegistrationCount')::INTEGER, timestamp"
        " FROM Events WHERE eventType IN ('Pass:Installed', 'Pass:Uninstalled') ORDER BY timestamp, eventType"
    )
    for pass_id, wallet, *event in rows.fetchall():
        found[pass_id, wallet].append(tuple(event))
    return found


def shapes(histories: dict[tuple[str, str], list[tuple[Any, ...]]]) -> list[str]:
    """Return each history in short: I1 for an install that makes it one device, U0 for an uninstall of the last."""
    return ["".join(f"{kind[5]}{devices}" for kind, devices, _ in events) for events in histories.values()]


def dump(file: Path) -> list[list[tuple[Any, ...]]]:
    """Return everything that a world shows."""
    with duckdb.connect(file, read_only=True) as opened:
        tables = [opened.execute(f"FROM {table}").fetchall() for table in ("backstage.passes", "Events")]
    return [*tables, [tuple(contact.items()) for contact in world.contacts(file)]]


# Determinism


def test_equal_arguments_give_equal_worlds(tmp_path: Path) -> None:
    """Seed, size and time decide every byte that is shown."""
    for name in ("one", "two"):
        world.create(tmp_path / name, seed=3, passes=400, now=NOW)
    assert dump(tmp_path / "one") == dump(tmp_path / "two")


def test_another_seed_gives_another_world(tmp_path: Path) -> None:
    """Two seeds share no pass."""
    for seed in (3, 4):
        world.create(tmp_path / str(seed), seed=seed, passes=100, now=NOW)
    ids = [{row[0] for row in dump(tmp_path / str(seed))[0]} for seed in (3, 4)]
    assert ids[0].isdisjoint(ids[1])


@pytest.mark.parametrize("size", [0, 1, 49, 50, 333])
def test_size_is_the_number_of_listed_passes(tmp_path: Path, size: int) -> None:
    """As many passes are listed as were asked for."""
    world.create(tmp_path / "world", seed=1, passes=size, now=NOW)
    assert len(dump(tmp_path / "world")[0]) == size


# What a pass looks like


def test_ids_are_those_of_the_vendor(passes: list[dict[str, Any]]) -> None:
    """Ids are unique and of the documented form."""
    ids = {listed["id"] for listed in passes}
    assert (len(ids), all(re.fullmatch(r"[\w-]{5,50}", pass_id) for pass_id in ids)) == (PASSES, True)


def test_each_pass_has_a_secret_of_its_own(passes: list[dict[str, Any]]) -> None:
    """Secrets are long, unique, and can be recognised."""
    secrets = {listed["secret"] for listed in passes}
    assert (len(secrets), all(re.fullmatch(r"s3cr3t-[0-9a-f]{40}", secret) for secret in secrets)) == (PASSES, True)


def test_dates_are_written_in_every_documented_way(passes: list[dict[str, Any]]) -> None:
    """Dates have 0 to 7 fractional digits and either form of UTC."""
    matches = [DATE.fullmatch(listed["creationDate"]) for listed in passes]
    written = {(len(match[1] or ""), match[2]) for match in matches if match}
    assert (None in matches, written) == (False, {(digits, zone) for digits in range(8) for zone in ("Z", "+00:00")})


def test_not_installed_is_written_in_every_documented_way(passes: list[dict[str, Any]]) -> None:
    """A wallet without the pass is absent, null or empty, and `providers` itself can be null."""
    maps = [listed["providers"] for listed in passes]
    written = {providers.get("google", "absent") for providers in maps if providers}
    assert {"absent", None, ""} < written
    assert None in maps


def test_types_of_passes_are_mixed(passes: list[dict[str, Any]]) -> None:
    """The tenant has four types of passes."""
    assert {listed["passType"] for listed in passes} == {"loyalty", "eventTicket", "giftCard", "offer"}


# History


def test_history_is_ninety_days_that_end_five_minutes_ago(connection: duckdb.DuckDBPyConnection) -> None:
    """All events lie in the ninety days before five minutes ago, and reach their end."""
    first, last = connection.execute("SELECT min(timestamp), max(timestamp) FROM Events").fetchall()[0]
    end = NOW.replace(tzinfo=None) - timedelta(minutes=5)
    assert end - timedelta(days=90) <= first < last <= end
    assert last > end - timedelta(days=1)


def test_providers_agree_with_the_events(
    passes: list[dict[str, Any]], histories: dict[tuple[str, str], list[tuple[Any, ...]]]
) -> None:
    """A wallet's date is that of the last change from no device to one, to the microsecond; none when all are gone."""

    def date_of(events: list[tuple[Any, ...]]) -> datetime | None:
        installs = [at for kind, devices, at in events if (kind, devices) == ("Pass:Installed", 1)]
        return max(installs) if events and events[-1][1] > 0 else None

    def listed_date(listed: dict[str, Any], wallet: str) -> datetime | None:
        text = (listed["providers"] or {}).get(wallet)
        return datetime.fromisoformat(text).replace(tzinfo=None) if text else None

    for listed in passes:
        for wallet in ("apple", "google"):
            assert listed_date(listed, wallet) == date_of(histories.get((listed["id"], wallet), []))


@pytest.mark.parametrize("shape", ["I1", "I1U0", "I1U0I1", "I1I2", "I1I2U1", "I1I2U1U0"])
def test_every_kind_of_history_occurs(histories: dict[tuple[str, str], list[tuple[Any, ...]]], shape: str) -> None:
    """Installs, uninstalls, reinstalls and second devices occur several times each."""
    assert shapes(histories).count(shape) >= 3


def test_reinstalls_within_a_second_occur(histories: dict[tuple[str, str], list[tuple[Any, ...]]]) -> None:
    """Some passes come back within a second."""
    spans = [events[-1][2] - events[0][2] for events in histories.values() if len(events) == 3]
    assert sum(span < timedelta(seconds=1) for span in spans) >= 3


def test_deleted_passes_left_their_events(passes: list[dict[str, Any]], connection: duckdb.DuckDBPyConnection) -> None:
    """Two in a hundred passes have events and are not listed."""
    known = {
        pass_id for (pass_id,) in connection.execute("SELECT DISTINCT properties ->> 'passId' FROM Events").fetchall()
    }
    assert len(known - {listed["id"] for listed in passes}) == PASSES // 50


@pytest.mark.parametrize(("wallet", "share"), [("apple", 0.55), ("google", 0.35)])
def test_wallets_have_their_share(
    histories: dict[tuple[str, str], list[tuple[Any, ...]]], wallet: str, share: float
) -> None:
    """About 55 % of the passes came to an Apple wallet, 35 % to a Google wallet."""
    assert sum(of == wallet for _, of in histories) / PASSES == pytest.approx(share, abs=0.04)


def test_identifiers_changed_in_the_past(connection: duckdb.DuckDBPyConnection) -> None:
    """Some old events carry an identifier that the pass bears no more."""
    ((changed,),) = connection.execute(
        "SELECT count(DISTINCT id) FROM Events JOIN backstage.passes ON id = properties ->> 'passId'"
        " WHERE properties ->> '$.identifiers.customerId' LIKE 'OLD-%' AND identifiers ->> '$.customerId' LIKE 'C-%'"
    ).fetchall()
    assert changed >= 2


# Identifiers


def values(identifiers: list[Any], name: str) -> list[Any]:
    """Return the values of one identifier, where a pass bears it."""
    return [borne[name] for borne in identifiers if borne and name in borne]


def is_decomposed(value: object) -> bool:
    """Tell whether a text is not in the composed form."""
    return isinstance(value, str) and not unicodedata.is_normalized("NFC", value)


@pytest.mark.parametrize(
    ("name", "mess"),
    [
        ("customerId", lambda value: isinstance(value, int) and not isinstance(value, bool)),
        ("customerId", lambda value: isinstance(value, str) and value.strip(" ") != value),
        ("customerId", lambda value: isinstance(value, str) and "\u00a0" in value),
        ("customerId", lambda value: isinstance(value, str) and {"\u200b", "\ufeff"} & set(value)),
        ("customerId", is_decomposed),
        ("customerId", lambda value: isinstance(value, str) and not value.strip()),
        ("customerId", lambda value: isinstance(value, bool)),
        ("accountId", lambda value: isinstance(value, dict)),
        ("email", is_decomposed),
        ("email", lambda value: value and "+tag@" in value),
        ("email", lambda value: value and value != value.lower()),
        ("email", lambda value: value and value.endswith("@bücher.example")),
        ("email", lambda value: value and value.endswith("@xn--bcher-kva.example")),
        ("y2.customerId", bool),
        ("crm.email", bool),
    ],
)
def test_every_mess_in_a_value_occurs(identifiers: list[Any], name: str, mess: Any) -> None:
    """Each way to write an identifier badly occurs at least twice."""
    assert sum(bool(mess(value)) for value in values(identifiers, name)) >= 2


@pytest.mark.parametrize("names", [("email",), ("accountId",), ("y2.customerId", "crm.email"), ()])
def test_passes_with_little_to_go_by_occur(identifiers: list[Any], names: tuple[str, ...]) -> None:
    """Passes with an e-mail alone, an account alone, only dotted names, or an empty map occur."""
    assert sum(borne is not None and tuple(borne) == names for borne in identifiers) >= 3


def test_identifiers_can_be_null(identifiers: list[Any]) -> None:
    """Passes without a map of identifiers occur."""
    assert identifiers.count(None) >= 3


def test_customers_share_an_email(identifiers: list[Any]) -> None:
    """Some e-mails are borne by passes of two customers."""
    customers = defaultdict(set)
    for borne in identifiers:
        if borne and "customerId" in borne and isinstance(borne.get("email"), str):
            customers[borne["email"]].add(borne["customerId"])
    shared = {email for email, of in customers.items() if len(of) > 1}
    assert len(shared) >= 4
    assert sum(borne is not None and set(borne) == {"email"} and borne["email"] in shared for borne in identifiers) >= 2


def test_clean_passes_dominate(connection: duckdb.DuckDBPyConnection) -> None:
    """About nine passes in ten have nothing odd about them."""
    ((share,),) = connection.execute("SELECT avg(clean::INTEGER) FROM backstage.passes").fetchall()
    assert share == pytest.approx(0.88, abs=0.03)


def test_clean_customers_share_no_identifier(connection: duckdb.DuckDBPyConnection) -> None:
    """No identifier of a pass that changes may fall on is borne by another customer."""
    ((shared,),) = connection.execute(
        """
        WITH borne AS (
            SELECT customer_id, clean, unnest(json_keys(identifiers)) AS name, identifiers ->> ('/' || name) AS value
            FROM backstage.passes
        )
        SELECT count(*) FROM (
            SELECT name, value FROM borne WHERE name IN ('customerId', 'accountId', 'email')
            GROUP BY ALL HAVING count(DISTINCT customer_id) > 1 AND bool_or(clean)
        )
        """
    ).fetchall()
    assert shared == 0


# Contacts


@pytest.fixture(scope="module")
def contacts(made: Path) -> list[dict[str, str]]:
    """Give the contacts that the CRM begins with."""
    return list(world.contacts(made))


def test_contacts_have_addresses_of_their_own(contacts: list[dict[str, str]]) -> None:
    """No two contacts have one e-mail, in whatever case."""
    addresses = [contact["email"].lower() for contact in contacts if "email" in contact]
    assert len(set(addresses)) == len(addresses)


def test_contacts_are_people_without_wallets(contacts: list[dict[str, str]]) -> None:
    """A contact has a name, and at most an e-mail and a customer id beside it; no value is empty."""
    assert {name for contact in contacts for name in contact} == {"email", "firstname", "lastname", "customer_id"}
    assert all(value for contact in contacts for value in contact.values())


def test_contacts_know_customers_to_a_different_degree(
    contacts: list[dict[str, str]], connection: duckdb.DuckDBPyConnection
) -> None:
    """Of the customers, 60 % are linked; others have only the e-mail, a shouted one, a foreign id, or no contact."""
    found = dict(connection.execute("SELECT contact, count(*) FROM backstage.customers GROUP BY ALL").fetchall())
    total = sum(found.values())
    assert found["linked"] / total == pytest.approx(0.57, abs=0.04)
    assert set(found) == {"linked", "email", "email in capitals", "conflict", "none"}
    assert sum(contact.get("customer_id", "").startswith("X-") for contact in contacts) == found["conflict"] >= 2


def test_some_contacts_are_strangers(contacts: list[dict[str, str]]) -> None:
    """Some contacts are known to no pass."""
    assert sum(contact.get("email", "").endswith("@example.net") for contact in contacts) == PASSES // 20
