"""The CRM's side: whether it holds the truth, since when that is known, and what to do if not."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.derive.evidence import add_snapshot, derive
from tests.derive.worlds import naive
from wallet_pipeline.support.explain.crm import explain_crm

from .conftest import ask, at, deliver, listed, made, snapshot

TOLERANCE = timedelta(seconds=60)
STATE = {"wallet_status": "apple", "apple_wallet_installed_at": naive(at("01 00:00")), "wallet_last_event": "installed"}
PLANS = "INSERT INTO crm.plans (plan_id, planned_at, scope, admitted, verdict) VALUES "
PLANNED = "INSERT INTO crm.plan (plan_id, planned_at, customer_key, action, reason, position, wallet_status) VALUES "
LINKED = "INSERT INTO crm.links VALUES ('k=1', '9', 'email', '2026-03-01 05:00', NULL)"
TOLD = (
    "INSERT INTO crm.deliveries BY NAME SELECT customer_key, wallet_status, apple_wallet_installed_at,"
    " wallet_last_event, 'p1' AS plan_id, '9' AS record_id, 'verified' AS outcome,"
    " TIMESTAMP '2026-03-02 05:00' AS intended_at, TIMESTAMP '2026-03-02 05:01' AS verified_at"
    " FROM wallet.customer_status_changes"
)
FIELD_DRIFTED = "INSERT INTO crm.drift (customer_key, field, found_at, repaired_at) VALUES ('k=1', 'wallet_status', "
REFUSED = (
    "INSERT INTO crm.rejections (customer_key, error_class, message, next_step, first_at, attempts)"
    " VALUES ('k=1', 'data', 'INVALID_OPTION', 'Correct it.', '2026-03-02', 3)"
)
ALL = f"{PLANS} ('p1', '2026-03-02 04:00', 'all', TRUE, '')"
UPDATE = f"{PLANNED} ('p1', '2026-03-02 04:00', 'k=1', 'update', 'changed', 1, 'apple')"


@pytest.mark.parametrize(
    ("happened", "state", "sentence"),
    [
        ([], "due", "The CRM was not compared with this yet; the next daily run does so."),
        ([ALL, LINKED], "held", "CRM record 9 was read to hold the same at 2026-03-02 04:00:00."),
        ([ALL, LINKED, TOLD], "held", "CRM record 9 was read to hold the same at 2026-03-02 05:01:00."),
        ([ALL, UPDATE, LINKED], "planned", "A write is planned since 2026-03-02 04:00:00 (update: changed)"),
        ([ALL, UPDATE, LINKED, TOLD], "held", "at 2026-03-02 05:01:00."),
        (
            [f"{PLANS} ('p1', '2026-03-02 04:00', 'all', FALSE, 'Approve it.')", UPDATE, LINKED],
            "stopped",
            "the whole plan was stopped. Approve it.",
        ),
        (
            [ALL, f"{PLANNED} ('p1', '2026-03-02 04:00', 'k=1', 'hold', 'settling', NULL, 'apple')"],
            "held back",
            "Nothing is written to the CRM: settling. The change is young; the next run sends it.",
        ),
        (
            [ALL, f"{PLANNED} ('p1', '2026-03-02 04:00', 'k=1', 'skip', 'not in the CRM', NULL, 'apple')"],
            "held back",
            "CRM_MISSING_CONTACTS says not to create one.",
        ),
        (
            [ALL, UPDATE, LINKED, TOLD, "UPDATE crm.deliveries SET verified_at = NULL, outcome = 'unknown'"],
            "sent",
            "It was sent at 2026-03-02 05:00:00; whether the CRM took it is not known yet.",
        ),
        (
            [ALL, LINKED, TOLD, f"{FIELD_DRIFTED} '2026-03-03', NULL)"],
            "drifted",
            "Somebody else changed wallet_status in the CRM; the next run puts that right.",
        ),
        ([ALL, LINKED, TOLD, f"{FIELD_DRIFTED} '2026-03-02', '2026-03-02')"], "held", "2026-03-02 05:01:00."),
        (
            [ALL, LINKED, TOLD, REFUSED],
            "not held",
            "The CRM does not hold it: INVALID_OPTION. Next: Correct it. (data, 3 attempts, since 2026-03-02 00:00:00)",
        ),
        (
            [LINKED, TOLD, "UPDATE crm.deliveries SET wallet_status = 'none'"],
            "due",
            "The CRM was not compared with this yet",
        ),
        (
            ["INSERT INTO wallet.changed_customers VALUES ('k=1', 1, '2026-03-02', NULL)"],
            "due",
            "The CRM was not asked about the last change yet; the next run of changes does so.",
        ),
        (["DELETE FROM wallet.customer_status_changes"], "departed", "The CRM was never told of this customer."),
        (
            [LINKED, "DELETE FROM wallet.customer_status_changes"],
            "departed",
            "The next run sees to it that CRM record 9 holds that.",
        ),
    ],
)  # fmt: skip
def test_state_of_the_crm_is_told(
    crm: duckdb.DuckDBPyConnection, happened: list[str], state: str, sentence: str
) -> None:
    """What is wrong comes first, with what to do next; else it says when the record was read to hold the truth."""
    for statement in happened:
        crm.execute(statement)
    found = explain_crm(crm, "k=1", TOLERANCE, is_past=False)
    assert found.state == state
    assert sentence in found.sentence


def test_fight_names_both_parties(crm: duckdb.DuckDBPyConnection) -> None:
    """A field that was put right three times in a week is told with who overwrites whom."""
    for day in (3, 4, 5):
        crm.execute(
            "INSERT INTO crm.drift VALUES ('k=1', '9', 'wallet_status', 'apple', 'none', $at, $at, $at, 'workflow 12',"
            " 'AUTOMATION_PLATFORM', 'app 815')",
            {"at": datetime(2026, 3, day)},  # noqa: DTZ001  as the warehouse keeps it
        )
    (fight,) = explain_crm(crm, "k=1", TOLERANCE, is_past=False).fights
    assert (fight["changed_by"], fight["written_by"], fight["times"]) == ("workflow 12", "app 815", 3)


@pytest.fixture(scope="module")
def crm_warehouse(template: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a warehouse in which one customer has a row."""
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{template}' AS template (READ_ONLY)")
        con.execute("COPY FROM DATABASE template TO memory")
        con.execute("DETACH template")
        yield con


@pytest.fixture
def crm(crm_warehouse: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield it with nothing in the CRM; what a test does is taken back."""
    crm_warehouse.execute("BEGIN")
    crm_warehouse.execute(
        "INSERT INTO wallet.customer_status_changes BY NAME SELECT 'k=1' AS customer_key, $valid_from AS valid_from,"
        f" {', '.join(f'${name} AS {name}' for name in STATE)}",
        {**STATE, "valid_from": naive(at("02 03:00"))},
    )
    yield crm_warehouse
    crm_warehouse.execute("ROLLBACK")


def test_crm_side_ends_at_the_moment(template: Path, tmp_path: Path) -> None:
    """As of a moment nothing is told of what was planned, found, put right, linked or answered later."""

    def history(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        add_snapshot(con, folder, snapshot("01 03:00", listed("a", {"customerId": "1"})))
        derive(con, at("01 03:10"))
        deliver(con, "customerId=1", "02 03:00")
        deliver(con, "customerId=1", "04 03:00")
        for statement in LATER:
            con.execute(statement)

    crm = ask(made(template, tmp_path, history), "a", at("04 03:00:01")).crm
    assert crm is not None
    assert crm.link == {"record_id": "501", "via": None, "linked_at": None, "departed_at": None}
    assert crm.plan is None
    assert crm.rejection is not None
    assert (crm.rejection["last_at"], crm.rejection["attempts"]) == (None, None)
    assert [one["repaired_at"] for one in crm.drift] == [None]
    assert [(one["outcome"], one["verified_at"]) for one in crm.deliveries] == [
        ("verified", at("02 03:00:02")),
        ("intended", None),
    ]
    assert crm.sentence == "The CRM does not hold it: m. Next: n. (data, since 2026-03-03 00:00:00)"


LATER = (
    "INSERT INTO crm.links VALUES ('customerId=1', '502', 'email', '2026-03-05', NULL)",
    "INSERT INTO crm.plans (plan_id, planned_at, scope) VALUES ('p', '2026-03-02', 'all'), ('q', '2026-03-06', 'all')",
    "INSERT INTO crm.plan (plan_id, planned_at, customer_key) VALUES ('q', '2026-03-06', 'customerId=1')",
    (
        "INSERT INTO crm.rejections (customer_key, error_class, message, next_step, first_at, last_at, attempts)"
        " VALUES ('customerId=1', 'data', 'm', 'n', '2026-03-03', '2026-03-06', 4)"
    ),
    "INSERT INTO crm.drift (customer_key, found_at, repaired_at) VALUES ('customerId=1', '2026-03-03', '2026-03-05')",
    "INSERT INTO crm.drift (customer_key, found_at) VALUES ('customerId=1', '2026-03-05')",
)
