"""One person is removed from everything, and nobody else from anything."""

import json
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pytest

from tests.collect.deliveries import receive
from tests.sync.conftest import Account
from wallet_pipeline.collect.wallet_events import Selection, replay, take_events
from wallet_pipeline.collect.webhooks.inbox import Inbox, NewDelivery, newest_delivery, read_deliveries
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.derive.trends import recount_sources
from wallet_pipeline.support.customers import SeveralCustomersError, UnknownCustomerError
from wallet_pipeline.support.forget.contact import Contact, ContactError, clear_contact
from wallet_pipeline.warehouse.connection import WarehouseError
from wallet_pipeline.warehouse.parquet import PublishError

from .conftest import (
    ANNA,
    DELIVERIES,
    HER_DELIVERIES,
    OTHER_DELIVERIES,
    SECOND_LIST,
    Forgotten,
    Installation,
    given_to,
    listed,
    told,
)

STATUS = (
    "customer_key, email, wallet_status, apple_wallet_installed_at, google_wallet_installed_at, wallet_last_changed_at"
)
# Every table that can name somebody.
PLACES = {
    "crm.deliveries", "crm.drift", "crm.links", "crm.plan", "crm.rejections", "raw.passes", "raw.touched_passes",
    "raw.wallet_events", "raw.wallet_observations", "wallet.changed_customers", "wallet.customer_status_changes",
    "wallet.customer_wallet_status", "wallet.identity_conflicts", "wallet.ignored_events", "wallet.pass_customers",
    "wallet.pass_identifiers", "wallet.registers", "wallet.unmatched_passes",
}  # fmt: skip


def bodies(home: Installation) -> list[bytes]:
    """Return the bodies in the inbox."""
    return [one.body for one in read_deliveries(home.settings.inbox_file, 0, 10**6)]


def statuses(home: Installation) -> list[tuple[object, ...]]:
    """Return the customers with their status."""
    return home.rows(f"SELECT {STATUS} FROM wallet.customer_wallet_status ORDER BY ALL")


def take_over(home: Installation) -> int:
    """Take new deliveries over, and return how many were of forgotten passes."""
    mapping = EventMapping.from_settings(home.settings)
    return take_events(home.open, home.settings.inbox_file, mapping).forgotten


# What is removed


def test_no_text_of_any_table_names_the_person(built: Installation, forgotten: Forgotten) -> None:
    """Whole rows of all tables are searched, of the analysts' file too: before, she is everywhere, then nowhere."""
    assert built.found_in() >= PLACES
    assert built.found_in() >= {"bi:main.crm_links", "bi:main.customer_wallet_status", "bi:main.wallet_events"}
    assert forgotten.home.found_in() == set()


def test_no_byte_of_any_file_names_the_person(built: Installation, forgotten: Forgotten) -> None:
    """Free space, logs of writes, held snapshots, what a killed run left behind and old Parquet files are searched."""
    held = "data/staging/held-20260103T000000.000000Z-1.duckdb"
    work_file = "data/staging/reading-0011223344556677.duckdb"
    published = "data/wallet_bi.duckdb"
    everywhere = {"data/warehouse.duckdb", "data/inbox.sqlite", ".dagster/headless.log", held, work_file, published}
    tables = [table.removeprefix("bi:main.") for table in built.found_in() if table.startswith("bi:")]
    parquet = {f"data/bi.publications/{number}/{table}.parquet" for number in (1, 2) for table in tables}
    assert built.files_with() == everywhere | parquet
    assert forgotten.home.files_with() == set()
    assert [one.name for one in forgotten.home.folder.glob("data/bi.publications/[0-9]*")] == ["3"]


def test_deliveries_that_say_anything_of_the_person_leave_the_inbox(built: Installation, forgotten: Forgotten) -> None:
    """Understood or not, broken, escaped or in UTF-16: hers go, others' stay as they are, byte for byte."""
    kept = [body for place, body in enumerate(bodies(built)) if place in {1, 6, 7}]
    assert (forgotten.erasure.deliveries, bodies(forgotten.home)) == (HER_DELIVERIES, kept)
    assert len(DELIVERIES) == HER_DELIVERIES + len(kept)


def test_only_the_held_snapshot_that_lists_the_person_is_deleted(forgotten: Forgotten) -> None:
    """The other one can still be approved."""
    held = [file.name for file in forgotten.home.settings.staging_dir.glob("*.duckdb")]
    assert (forgotten.erasure.held_snapshots, held) == (1, ["held-20260104T000000.000000Z-1.duckdb"])


@pytest.mark.parametrize("asked", ["Anna.Kowalski@X.test", "anna-pass-2"])
def test_person_is_the_same_by_any_name(home: Installation, asked: str) -> None:
    """An e-mail or a pass stands for the customer, with all their passes."""
    assert home.forgetting().look(asked) == home.forgetting().look(ANNA)


# What stays


def test_others_keep_their_rows(built: Installation, forgotten: Forgotten) -> None:
    """Evidence, statuses and deliveries of others are as they were; only her identifiers are gone from old evidence."""
    others, not_anna = "pass_id NOT LIKE 'anna%'", f"customer_key <> '{ANNA}'"
    queries = [
        f"SELECT * FROM raw.wallet_observations WHERE {others} ORDER BY ALL",
        f"SELECT * EXCLUDE (identifiers) FROM raw.passes WHERE {others} ORDER BY ALL",
        f"SELECT * EXCLUDE (identifiers) FROM raw.wallet_events WHERE {others} ORDER BY ALL",
        f"SELECT {STATUS} FROM wallet.customer_wallet_status WHERE {not_anna} ORDER BY ALL",
        f"SELECT * FROM crm.deliveries WHERE {not_anna} ORDER BY ALL",
        f"SELECT * FROM crm.links WHERE {not_anna} ORDER BY ALL",
        "SELECT * FROM raw.snapshots ORDER BY ALL",
    ]
    assert all(built.rows(query) for query in queries)
    assert [forgotten.home.rows(query) for query in queries] == [built.rows(query) for query in queries]


def test_old_evidence_and_messages_about_others_lose_what_names_the_person(forgotten: Forgotten) -> None:
    """A pass that was hers once, a contact that carried her number, a message with her e-mail: just that is gone."""
    redacted = {"raw.passes": 1, "raw.wallet_events": 1, "crm.drift": 1, "crm.rejections": 1}
    assert forgotten.erasure.removed.redacted == redacted
    home = forgotten.home
    assert home.rows("SELECT message FROM crm.rejections") == [(f"the contact of {'*' * 20} has it, not joe@x.test",)]
    assert home.rows("SELECT expected, found FROM crm.drift") == [("K-ben", "***")]
    assert home.rows("SELECT identifiers FROM raw.passes WHERE pass_id = 'cleo-pass-1' ORDER BY 1") == [
        ('{"customerId":"K-cleo","email":"cleo@x.test"}',),
        ("{}",),
    ]


def test_others_who_shared_an_identifier_are_derived_anew(after: Installation, forgotten: Forgotten) -> None:
    """A pass in conflict because of the person finds its customer, and a full derivation changes nothing more."""
    assert forgotten.erasure.removed.kin == 2
    found = after.rows("SELECT customer_key FROM wallet.pass_customers WHERE pass_id = 'disputed-pass'")
    assert (found, after.rows("FROM wallet.identity_conflicts")) == ([("customerId=K-ben",)], [])
    tables = ("customer_wallet_status", "registers", "pass_customers", "pass_identifiers", "unmatched_passes")
    touched = [after.rows(f"FROM wallet.{table} ORDER BY ALL") for table in tables]
    after.derive()
    assert [after.rows(f"FROM wallet.{table} ORDER BY ALL") for table in tables] == touched


def test_source_that_only_the_person_came_from_is_forgotten(home: Installation) -> None:
    """A source may quote a name: it leaves the counts, the published ones too; what others came from is counted on."""
    with home.open() as con:
        con.execute(
            "INSERT INTO adoption.calendar (day, month, starts_at, ends_at)"
            " VALUES ('2026-01-01', '2026-01-01', '2026-01-01', '2026-01-02')"
        )
        con.execute(
            "INSERT INTO adoption.installations (pass_id, wallet, pass_type, installed_at, acquisition_source)"
            " SELECT pass_id, 'apple', 'loyalty', '2026-01-01', source FROM (VALUES ('anna-pass-1', 'email'),"
            " ('anna-pass-2', 'web/for-anna'), ('ben-pass-1', 'email')) told (pass_id, source)"
        )
        recount_sources(con)
    home.publish()
    home.forgetting().remove(ANNA, clear_crm=False)
    counts = "SELECT acquisition_source, installs FROM {}adoption_by_source"
    assert home.rows(counts.format("adoption.")) == [("email", 1)]
    with duckdb.connect(home.settings.bi_file, read_only=True) as con:
        assert con.execute(counts.format("")).fetchall() == [("email", 1)]


def test_each_customer_has_one_standing_version(forgotten: Forgotten) -> None:
    """The check of customer_status_changes holds right after."""
    versions = "SELECT customer_key, count(*) AS versions FROM wallet.customer_status_changes WHERE valid_to IS NULL"
    assert forgotten.home.rows(
        "SELECT count(*) FILTER (versions = 1), count(*)"
        f" FROM wallet.customer_wallet_status FULL JOIN ({versions} GROUP BY ALL) USING (customer_key)"
    ) == [(3, 3)]


def test_looking_changes_nothing_and_tells_what_removing_removes(home: Installation, forgotten: Forgotten) -> None:
    """All places are counted beforehand, and all rows are as they were."""
    seen = home.forgetting().look(ANNA)
    assert home.found_in() >= PLACES
    assert len(bodies(home)) == len(DELIVERIES)
    done = forgotten.erasure
    assert replace(done, contact="", removed=seen.removed) == replace(seen, contact="")
    assert (done.removed.redacted, done.removed.kin) == (seen.removed.redacted, seen.removed.kin)
    # What was planted into tables that are derived is gone by then.
    assert {table for table, rows in seen.removed.rows.items() if rows != done.removed.rows.get(table)} <= {
        "raw.touched_passes", "wallet.changed_customers", "wallet.ignored_events", "wallet.unmatched_passes",
    }  # fmt: skip


def test_identifier_that_others_bear_names_nobody_alone(home: Installation) -> None:
    """What Ben shares with her names both, for somebody to choose."""
    with pytest.raises(SeveralCustomersError, match="K-anna-1042, customerId=K-ben"):
        home.forgetting().look("accountId=family-77")


# They stay away


def test_list_that_still_has_the_passes_does_not_bring_the_person_back(after: Installation) -> None:
    """The next snapshots count the passes and leave them out; nobody else loses or gains anything."""
    before = statuses(after)
    for day in (3, 4):
        after.list_passes(day, SECOND_LIST)
    after.derive()
    assert (statuses(after), after.found_in()) == (before, set())


def test_late_event_and_redelivery_are_left_out_and_leave_the_inbox(after: Installation) -> None:
    """Two deliveries about her pass are counted, and not kept anywhere; one about somebody else is taken over."""
    late = told(9, "anna-pass-1", customerId="K-anna-1042")
    receive(after.settings.inbox_file, [late, told(10, "dora-pass-1"), late])
    assert (take_over(after), take_over(after)) == (2, 0)
    assert (after.found_in(), after.files_with()) == (set(), set())
    assert after.rows("SELECT count(*) FROM raw.wallet_events WHERE event_id = 'event-10'") == [(1,)]


def test_reading_deliveries_again_does_not_bring_the_person_back(after: Installation) -> None:
    """A delivery that only a corrected mapping understands is erased when it turns out to be about her pass."""
    ids = receive(after.settings.inbox_file, [{**told(11, ""), "passId": None, "ticket": "anna-pass-1"}])
    assert take_over(after) == 0
    mapping = EventMapping.from_settings(after.settings.model_copy(update={"event_pass_id_at": ("ticket",)}))
    for dry_run in (True, False):
        again = replay(after.open, after.settings.inbox_file, mapping, Selection(ids=tuple(ids)), dry_run=dry_run)
        assert (again.forgotten, again.changed) == (1, 1)
    assert (after.found_in(), after.files_with()) == (set(), set())
    assert after.rows(f"SELECT count(*) FROM raw.unusable_deliveries WHERE delivery_id = {ids[0]}") == [(0,)]


def test_pass_that_the_person_takes_later_comes_in(after: Installation) -> None:
    """Passes are forgotten, not identifiers: who comes back on purpose is a new customer, without a past."""
    after.list_passes(3, [*SECOND_LIST, listed("anna-pass-3", customerId="K-anna-1042")])
    after.derive()
    assert after.rows(f"SELECT passes FROM wallet.customer_wallet_status WHERE customer_key = '{ANNA}'") == [(1,)]


def test_next_daily_run_tells_the_crm_nothing(after: Installation, account: Account) -> None:
    """The person is neither written, nor told to have departed, nor listed; all contacts are as they were."""
    connected = Installation(after.folder, after.given | {"hubspot_base_url": account.url})
    before = account.contacts()
    connected.list_passes(3, SECOND_LIST)
    connected.derive()
    assert (connected.sync(), connected.found_in()) == (0, set())
    assert account.contacts() == before


# The contact in the CRM


def her_contact(account: Account) -> tuple[str, dict[str, str]]:
    """Return the id and the values of her contact."""
    ((record_id, values),) = [one for one in account.contacts().items() if one[1].get("customer_id") == "K-anna-1042"]
    return record_id, values


def test_contact_loses_its_wallet_fields_only_when_asked_for(connected: Installation, account: Account) -> None:
    """With --crm the five fields are empty, read back; e-mail, customer number and contact stay."""
    record_id, before = her_contact(account)
    assert before["wallet_status"] == "apple"
    account.edit(record_id, firstname="Anna")
    erasure = connected.forgetting().remove(ANNA, clear_crm=True)
    assert erasure.contact == "4 wallet fields of the contact cleared, and read back"
    _, after = her_contact(account)
    kept = {name: value for name, value in after.items() if value and not name.startswith(("lastmodified", "hs_"))}
    assert not {name for name in kept if "wallet" in name}
    assert (kept["email"], kept["firstname"]) == ("anna.kowalski@x.test", "Anna")


@pytest.mark.parametrize(
    ("customer_id", "others", "told"),
    [("K-anna-1042", 1, "another customer is linked"), ("K-else", 0, "carries another customer id")],
)
def test_contact_of_somebody_else_is_left_alone(account: Account, customer_id: str, others: int, told: str) -> None:
    """A contact to which another customer is linked, or that has another's number, keeps what it holds."""
    record_id, before = her_contact(account)
    assert told in clear_contact(account.destination(), Contact(record_id, customer_id, others))
    assert her_contact(account) == (record_id, before)


def test_contact_that_was_merged_into_another_customers_is_left_alone(tmp_path: Path, account: Account) -> None:
    """Of two customers whose contacts became one, the other one's fields stay, before a run has looked and after."""
    home = Installation(tmp_path, given_to(account.url))
    home.list_passes(1, [listed("eves-pass", email="eve@x.test"), listed("adams-pass", email="adam@x.test")])
    home.derive()
    home.sync()
    links = dict(home.rows("SELECT customer_key, record_id FROM crm.links"))
    merged = {"primary": links["email=adam@x.test"], "secondary": links["email=eve@x.test"]}
    account.control("POST", "merge", merged)
    before = account.contacts()
    with pytest.raises(ContactError, match="Nothing was removed"):
        home.forgetting().remove("eve@x.test", clear_crm=True)
    home.sync()
    assert "another customer is linked" in home.forgetting().remove("eve@x.test", clear_crm=True).contact
    assert account.contacts() == before


def test_contact_that_is_gone_or_holds_nothing_is_told(account: Account) -> None:
    """Nothing is written where there is nothing to clear."""
    destination = account.destination()
    empty = account.add(email="new@x.test")
    assert "not in HubSpot any more" in clear_contact(destination, Contact("999999", None, 0))
    assert "held no wallet field" in clear_contact(destination, Contact(empty, None, 0))


def test_nothing_is_removed_when_the_contact_cannot_be_cleared(connected: Installation, account: Account) -> None:
    """A CRM that refuses comes before all else: she is still everywhere, and the same command can be given again."""
    account.spoil("batch/update", "status", status=400, times=10)
    with pytest.raises(ContactError, match="Nothing was removed"):
        connected.forgetting().remove(ANNA, clear_crm=True)
    assert connected.found_in() >= PLACES - {"raw.touched_passes", "wallet.ignored_events", "wallet.unmatched_passes"}
    assert len(bodies(connected)) == len(DELIVERIES)


# Who is not known


def test_person_of_whom_only_a_delivery_tells_is_removed(home: Installation) -> None:
    """Somebody whom the warehouse does not know is found in what nobody understood, by e-mail or by pass."""
    told = [b'{"mail": "eve@x.test"}', b'{"passId": "eves-pass-1"}', b'{"mail": "steve@x.test"}']
    receive(home.settings.inbox_file, told)
    home.derive()
    assert home.forgetting().look("eves-pass-1").deliveries == 1
    erasure = home.forgetting().remove("eve@x.test", clear_crm=False)
    assert (erasure.deliveries, erasure.removed.rows) == (1, {"raw.unusable_deliveries": 1})
    assert bodies(home)[-2:] == told[1:]
    with pytest.raises(UnknownCustomerError):
        home.forgetting().look("eve@x.test")


def test_folder_without_data_is_told_and_stays_as_it_is(tmp_path: Path) -> None:
    """Where nothing was ever kept somebody has another folder in mind: no answer that reads like a finished request."""
    forgetting = Installation(tmp_path, {}).forgetting()
    for ask in (forgetting.finish, partial(forgetting.look, "eve@x.test")):
        with pytest.raises(WarehouseError, match=r"There is no warehouse .*DATA_DIR"):
            ask()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("typed", ["", " ", "loyalty", "Pass:Installed", "passId", "customerId=unknown", "K-anna-1042"])
def test_word_that_names_nobody_removes_nothing(home: Installation, typed: str) -> None:
    """What is no person is found nowhere, be it a word of the pipeline or of deliveries; a slip gets a hint."""
    everything = [home.rows(f"FROM raw.{table} ORDER BY ALL") for table in ("passes", "wallet_events")]
    with pytest.raises(UnknownCustomerError) as told:
        home.forgetting().remove(typed, clear_crm=False)
    assert ("Did you mean customerId=K-anna-1042?" in str(told.value)) == (typed == "K-anna-1042")
    assert [home.rows(f"FROM raw.{table} ORDER BY ALL") for table in ("passes", "wallet_events")] == everything
    assert len(bodies(home)) == HER_DELIVERIES + OTHER_DELIVERIES


# The analysts' files


def test_erasure_that_cannot_be_published_is_told_and_finished_later(home: Installation) -> None:
    """A folder of somebody's where the Parquet files belong stops it; out of the way, the next call ends it."""
    link = home.settings.data_dir / "bi"
    link.unlink()
    link.mkdir()
    (link / "theirs.txt").write_text("theirs")
    with pytest.raises(PublishError, match="is not what this pipeline puts there"):
        home.forgetting().remove(ANNA, clear_crm=False)
    assert (link / "theirs.txt").read_text() == "theirs"
    link.rename(link.with_name("theirs"))
    assert home.forgetting().finish()
    assert (home.found_in(), home.files_with()) == (set(), set())


# The inbox


def test_newest_delivery_keeps_its_place_under_a_receiver_that_goes_on(home: Installation) -> None:
    """The newest delivery is hers: its id stays, so that later ones have greater ids, whatever the clock does."""
    inbox_file = home.settings.inbox_file
    (newest,) = receive(inbox_file, [told(12, "anna-pass-1", customerId="K-anna-1042")])
    with closing(Inbox(inbox_file)) as inbox:
        home.forgetting().remove(ANNA, clear_crm=False)
        assert (newest_delivery(inbox_file), bodies(home)[-1]) == (newest, b"")
        inbox.append([NewDelivery(1, "webhook", b"#" * 32, json.dumps(told(13, "dora-pass-1")).encode())])
    assert take_over(home) == 0
    assert home.rows("SELECT count(*) FROM raw.wallet_events WHERE event_id = 'event-13'") == [(1,)]
    assert home.files_with() == set()
