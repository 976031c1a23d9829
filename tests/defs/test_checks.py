"""Asset checks fail when what they claim does not hold."""

import dagster as dg
import pytest

from wallet_pipeline.definitions import defs

from .conftest import Project

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
def test_check_sees_the_damage(project: Project, asset: str, check: str, damage: str) -> None:
    """A check that passed on good tables fails on damaged ones, and says what to do."""
    assert project.check(project.run(), check, asset).passed
    with project.data.open() as con:
        con.execute(damage)
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    job = defs().resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={key}, asset_selection=set())
    result = job.execute_in_process(instance=project.instance, raise_on_error=False)
    evaluation = project.check(result, check, asset)
    assert not evaluation.passed
    assert evaluation.description
