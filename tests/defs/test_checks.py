"""Asset checks fail when what they claim does not hold."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import Data

from .conftest import Project, configured, set_up_crm

UNVERIFIED = """
UPDATE crm.deliveries SET outcome = 'unverified';
INSERT INTO crm.rejections (customer_key) SELECT DISTINCT customer_key FROM crm.deliveries
"""

DRIFT = """
INSERT INTO crm.drift (customer_key, field, found_at)
SELECT customer_key, 'wallet_status', now() AT TIME ZONE 'UTC' FROM crm.links
"""

FIGHT = """
INSERT INTO crm.drift (customer_key, field, repaired_at)
SELECT 'customerId=1', 'wallet_status', now() AT TIME ZONE 'UTC' - i * INTERVAL 1 DAY FROM range(3) t(i)
"""


@pytest.fixture(scope="module")
def run_once(
    tmp_path_factory: pytest.TempPathFactory, template: Path
) -> Iterator[tuple[Project, dg.ExecuteInProcessResult]]:
    """Run a project, once for all damages."""
    folder = tmp_path_factory.mktemp("well")
    with pytest.MonkeyPatch.context() as patch, configured(folder, Data(folder / "data", template), patch) as project:
        set_up_crm()
        yield project, project.run()


@pytest.fixture
def well(
    run_once: tuple[Project, dg.ExecuteInProcessResult], tmp_path: Path
) -> Iterator[tuple[Project, dg.ExecuteInProcessResult]]:
    """Give a project that has run, and the run; what the test does to the warehouse is undone."""
    warehouse = run_once[0].data.warehouse
    kept = shutil.copy(warehouse, tmp_path)
    yield run_once
    shutil.copy(kept, warehouse)


@pytest.mark.parametrize(
    ("asset", "check", "damage"),
    [
        ("wallet_registers", "key_unique", "INSERT INTO wallet.registers FROM wallet.registers LIMIT 1"),
        ("wallet_registers", "dates_consistent", "UPDATE wallet.registers SET installed_at = NULL"),
        (
            "customer_wallet_status",
            "key_unique",
            "INSERT INTO wallet.customer_wallet_status FROM wallet.customer_wallet_status LIMIT 1",
        ),
        (
            "customer_wallet_status",
            "status_consistent",
            "UPDATE wallet.customer_wallet_status SET wallet_status = 'none' WHERE wallet_status = 'apple'",
        ),
        ("customer_status_changes", "current_version", "DELETE FROM wallet.customer_status_changes"),
        (
            "crm_contacts",
            "written_is_verified",
            UNVERIFIED,
        ),
        ("crm_contacts", "no_fights", FIGHT),
        ("crm_contacts", "little_drift", DRIFT),
        ("unmatched_passes", "unmatched_share", "UPDATE wallet.pass_customers SET resolution = 'unmatched'"),
        ("wallet_registers", "agrees_with_vendor_apple", "DELETE FROM wallet.registers WHERE wallet = 'apple'"),
        ("wallet_registers", "agrees_with_vendor_google", "DELETE FROM wallet.registers WHERE wallet = 'google'"),
    ],
)
def test_check_sees_the_damage(
    well: tuple[Project, dg.ExecuteInProcessResult], asset: str, check: str, damage: str
) -> None:
    """A check that passed on good tables fails on damaged ones, and says what to do."""
    project, run = well
    assert project.check(run, check, asset).passed
    with project.data.open() as con:
        con.execute(damage)
    evaluation = project.check_alone(asset, check)
    assert not evaluation.passed
    assert evaluation.description
