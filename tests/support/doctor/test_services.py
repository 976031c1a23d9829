"""What the doctor finds about The Wallet Crew and HubSpot: each kind of damage, with the right next step."""

import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.doctor.conftest import ENDPOINT, Home, now
from tests.sync.conftest import Account, open_account
from wallet_pipeline.sync.setup_crm import setup_crm

NOBODY = "http://127.0.0.1:1"
PROPERTIES = "/crm/properties/2026-09/contacts"


def levels(home: Home, subject: str) -> dict[str, str]:
    """Return the level of each check of a subject."""
    return {one.check: one.level for one in home.findings(subject)}


def spoil_crm(home: Home, action: dict[str, Any], path: str = "") -> None:
    """Let requests to the CRM fail."""
    home.crm("POST", "faults", {"path": path, "action": action})


def test_wrong_key_is_told_once(home: Home) -> None:
    """A key that is not accepted is one problem; what the key may do is not asked any more."""
    found = levels(home.having(wallet_crew_api_key=SecretStr("wrong")), "The Wallet Crew")
    assert found == {"access": "problem", "clock": "ok"}


def test_wrong_tenant_is_told(home: Home) -> None:
    """A tenant that does not exist is named with the settings to check."""
    told = home.having(wallet_crew_tenant_id="nobody").finding("The Wallet Crew", "access").sentence
    assert "knows no tenant 'nobody'" in told
    assert "Check WALLET_CREW_TENANT_ID" in told


@pytest.mark.parametrize(
    ("key", "lacking"),
    [
        ("passes_only", {"scope Insights.Read": "problem", "subscriptions": "warning"}),
        ("insights_only", {"scope Pass.Read": "problem", "subscriptions": "warning", "vendor totals": "problem"}),
    ],
)
def test_missing_scopes_are_told_apart(home: Home, key: str, lacking: dict[str, str]) -> None:
    """Each scope that the key lacks is told by itself; those that it has are ok."""
    weak = home.having(wallet_crew_api_key=SecretStr(home.tenant.facts["keys"][key]))
    found = levels(weak, "The Wallet Crew")
    assert {check: level for check, level in found.items() if level != "ok"} == lacking
    (scope,) = [check for check in lacking if check.startswith("scope")]
    assert f"Add {scope.removeprefix('scope ')} to the key" in weak.finding("The Wallet Crew", scope).sentence


def test_webhook_scope_is_not_missed_without_webhooks(home: Home) -> None:
    """Who receives no webhooks needs no Webhook.Read."""
    key = SecretStr(home.tenant.facts["keys"]["passes_only"])
    assert (
        home.having(wallet_crew_api_key=key, webhook_secrets=()).finding("The Wallet Crew", "subscriptions").level
        == "ok"
    )


@pytest.mark.parametrize("setting", ["wallet_crew_base_url", "hubspot_base_url"])
def test_unreachable_service_is_told_in_seconds(home: Home, setting: str) -> None:
    """An address at which nobody answers is a problem of that service alone, told after few attempts."""
    subject = "The Wallet Crew" if setting.startswith("wallet") else "HubSpot"
    begun = time.monotonic()
    finding = home.having(**{setting: NOBODY}).finding(subject, "access")
    assert (finding.level, "the connection was refused" in finding.sentence) == ("problem", True)
    assert time.monotonic() - begun < 10


def test_slow_service_does_not_hold_the_doctor_up(home: Home) -> None:
    """A service that asks to come back in an hour is a warning at once."""
    home.tenant.spoil({"type": "status", "status": 429, "headers": {"Retry-After": "3600"}}, path="insights")
    begun = time.monotonic()
    finding = home.finding("The Wallet Crew", "scope Insights.Read")
    assert (finding.level, "goes on asking for fewer calls (429" in finding.sentence) == ("warning", True)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("ahead", "words"), [(timedelta(minutes=6), "ahead of"), (timedelta(hours=-2), "behind")])
@pytest.mark.parametrize("subject", ["The Wallet Crew", "HubSpot"])
def test_clock_skew_is_told(home: Home, subject: str, ahead: timedelta, words: str) -> None:
    """A service whose Date differs from our clock by more than five minutes is a problem, with what to do."""
    fault = {"type": "headers", "set": {"date": format_datetime(now() + ahead, usegmt=True)}}
    home.tenant.spoil(fault, path="") if subject == "The Wallet Crew" else spoil_crm(home, fault)
    finding = home.finding(subject, "clock")
    assert finding.level == "problem"
    assert words in finding.sentence
    assert "Let this machine take its time from the network" in str(finding.next_step)


def test_clock_within_the_limit_is_ok(home: Home) -> None:
    """Four minutes are no reason to worry."""
    fault = {"type": "headers", "set": {"date": format_datetime(now() + timedelta(minutes=4), usegmt=True)}}
    spoil_crm(home, fault)
    assert home.finding("HubSpot", "clock").level == "ok"


def test_subscription_whose_secret_is_missing_is_told(home: Home) -> None:
    """Deliveries that the receiver cannot but refuse are a problem, whether secrets are set or none."""
    other = home.having(webhook_secrets=(SecretStr("x" * 64),)).finding("The Wallet Crew", "subscriptions")
    assert (other.level, "is not in WEBHOOK_SECRETS" in other.sentence) == ("problem", True)
    assert "Add it to WEBHOOK_SECRETS" in str(other.next_step)
    none = home.having(webhook_secrets=()).finding("The Wallet Crew", "subscriptions")
    assert (none.level, "WEBHOOK_SECRETS is empty" in none.sentence) == ("problem", True)


@pytest.fixture
def subscription(home: Home) -> Iterator[str]:
    """Give the id of the subscription, which is put right again after the test."""
    (webhook,) = home.tenant.webhooks()
    yield webhook["id"]
    with home.tenant.client() as client:
        client.change_webhook(webhook["id"], events=webhook["events"], enabled=True)


def test_disabled_subscription_is_told(home: Home, subscription: str) -> None:
    """Who wonders why nothing comes is told that the subscription is switched off, and how to switch it on."""
    with home.tenant.client() as client:
        client.change_webhook(subscription, enabled=False)
    finding = home.finding("The Wallet Crew", "subscriptions")
    assert (finding.level, "is disabled" in finding.sentence) == ("warning", True)
    assert f"`wallet-pipeline webhooks subscribe {ENDPOINT}` enables it" in str(finding.next_step)


def test_subscription_without_removals_is_told(home: Home, subscription: str) -> None:
    """A subscription that delivers installs only is told with what it lacks."""
    with home.tenant.client() as client:
        client.change_webhook(subscription, events=["Pass:Installed"])
    assert "does not deliver Pass:Uninstalled" in home.finding("The Wallet Crew", "subscriptions").sentence


def test_secret_without_a_subscription_is_told(home: Home) -> None:
    """A secret for a subscription that does not exist is a warning, with the command that makes one."""
    home.tenant.spoil(
        {"type": "replace", "body": "[]", "headers": {"content-type": "application/json"}}, path="/webhooks"
    )
    finding = home.finding("The Wallet Crew", "subscriptions")
    assert (finding.level, "no subscription" in finding.sentence) == ("warning", True)
    assert "`wallet-pipeline webhooks subscribe URL` makes one" in str(finding.next_step)


def test_totals_that_differ_are_told(home: Home) -> None:
    """A vendor that counts other passes than the registers, while these should follow, is a warning."""
    home.tenant.spoil({"type": "headers", "set": {"x-pagination-total": "70"}}, path="filter.*google")
    apple, google = home.findings("The Wallet Crew", "vendor totals")
    assert (apple.level, google.level) == ("ok", "warning")
    assert "The vendor counts 70 passes in google, the registers 0." in google.sentence


def test_totals_may_run_ahead_of_a_daily_snapshot(patient: Home) -> None:
    """Without events the registers stand still between two snapshots, and that is no warning."""
    patient.tenant.spoil({"type": "headers", "set": {"x-pagination-total": "70"}}, path="filter")
    patient.sql("DELETE FROM raw.wallet_events")
    assert {one.level for one in patient.later(hours=5).findings("The Wallet Crew", "vendor totals")} == {"ok"}


def test_wrong_token_is_told_once(home: Home) -> None:
    """A token that is not accepted is one problem, with the setting to correct."""
    weak = home.having(hubspot_access_token=SecretStr("pat-sandbox-expired"))
    assert levels(weak, "HubSpot") == {"access": "problem", "clock": "ok"}
    assert "into HUBSPOT_ACCESS_TOKEN" in weak.finding("HubSpot", "access").sentence


def test_wrong_version_is_told(home: Home) -> None:
    """A version that HubSpot does not know is a problem with the settings to check."""
    assert "HUBSPOT_API_VERSION" in home.having(hubspot_api_version="2020-01").finding("HubSpot", "access").sentence


def test_token_that_may_only_read_is_told(home: Home) -> None:
    """A token without the scope for writing is found out, and nothing is written for it."""
    weak = home.having(hubspot_access_token=SecretStr("pat-sandbox-read"))
    found = {check: level for check, level in levels(weak, "HubSpot").items() if level != "ok"}
    assert found == {"scope crm.objects.contacts.write": "problem"}
    told = weak.finding("HubSpot", "scope crm.objects.contacts.write").sentence
    assert "The access token lacks crm.objects.contacts.write (403" in told


def test_token_that_may_only_write_is_told(home: Home) -> None:
    """A token that is refused the reading of contacts is told with the scope that it lacks."""
    body = {
        "category": "MISSING_SCOPES",
        "errors": [{"context": {"requiredGranularScopes": ["crm.objects.contacts.read"]}}],
    }
    spoil_crm(home, {"type": "status", "status": 403, "body": body}, "batch/read")
    finding = home.finding("HubSpot", "scope crm.objects.contacts.read")
    assert (finding.level, "lacks crm.objects.contacts.read" in finding.sentence) == ("problem", True)


@pytest.fixture
def fresh_account(tmp_path: Path) -> Iterator[Account]:
    """Run a CRM account that was not set up."""
    with open_account(tmp_path) as account:
        yield account


def test_missing_properties_are_told(home: Home, fresh_account: Account) -> None:
    """Properties that the CRM lacks are named with the command that creates them."""
    finding = home.having(hubspot_base_url=fresh_account.url).finding("HubSpot", "properties")
    assert (finding.level, "lacks the fields wallet_status, " in finding.sentence) == ("problem", True)
    assert "`wallet-pipeline setup-crm`" in finding.sentence


def test_property_of_another_type_is_told(home: Home, fresh_account: Account) -> None:
    """A property of the wrong type is named with both types."""
    body = {"name": "wallet_last_event", "label": "x", "groupName": "contactinformation"}
    fresh_account.api("POST", PROPERTIES, body | {"type": "string", "fieldType": "text"})
    finding = home.having(hubspot_base_url=fresh_account.url).finding("HubSpot", "properties")
    assert "wallet_last_event has type string instead of enumeration" in finding.sentence


def test_day_that_is_nearly_used_up_is_told(home: Home, fresh_account: Account) -> None:
    """What is left of the day is told; when it is no more than other apps' share, runs send nothing any more."""
    setup_crm(fresh_account.destination())
    fresh_account.switch(rate_limit_daily=50)
    mine = home.having(hubspot_base_url=fresh_account.url, hubspot_reserve=0.5)
    assert mine.finding("HubSpot", "quota").level == "ok"
    fresh_account.switch(rate_limit_daily=25)
    finding = mine.finding("HubSpot", "quota")
    assert (finding.level, "of the day's 25, which all apps share, are left" in finding.sentence) == ("warning", True)
    assert "a run goes on after midnight" in str(finding.next_step)


def test_limits_that_are_not_told_are_no_warning(home: Home, fresh_account: Account) -> None:
    """Without rate-limit headers there is nothing to warn of."""
    setup_crm(fresh_account.destination())
    fresh_account.switch(rate_headers=False)
    finding = home.having(hubspot_base_url=fresh_account.url).finding("HubSpot", "quota")
    assert (finding.level, "does not tell the limits" in finding.sentence) == ("ok", True)
