"""The command `wallet-pipeline webhooks`: what a user types and reads; the sandbox answers."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import Tenant
from wallet_pipeline.cli import main

URL = "https://wallet.example.com/webhooks/wallet-crew"


@pytest.fixture(autouse=True)
def configured(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a checkout without `.env`, configured for the tenant."""
    (tmp_path / "dagster.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WALLET_CREW_BASE_URL", tenant.url)
    monkeypatch.setenv("WALLET_CREW_TENANT_ID", tenant.facts["tenant_id"])
    monkeypatch.setenv("WALLET_CREW_API_KEY", tenant.facts["api_key"])


def call(*arguments: str) -> Result:
    """Run `wallet-pipeline webhooks` in this process."""
    return CliRunner().invoke(main, ["webhooks", *arguments])


def output(*arguments: str) -> str:
    """Return what a command that succeeds prints."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_subscribe_prints_the_secret_once_and_where_to_put_it(tenant: Tenant) -> None:
    """The first subscribing prints the signature secret exactly once, with the setting that it belongs into."""
    printed = output("subscribe", URL)
    (webhook,) = tenant.webhooks()
    assert printed.count(webhook["signatureSecret"]) == 1
    assert f"Created {webhook['id']}: Pass:Installed, Pass:Uninstalled are delivered to {URL}." in printed
    assert "WEBHOOK_SECRETS in .env" in printed
    assert "keep the old one beside it" in printed


def test_second_subscribing_prints_no_secret(tenant: Tenant) -> None:
    """Subscribing again says that all is there, that the secret was shown, and how to get a new one."""
    output("subscribe", URL)
    printed = output("subscribe", URL)
    (webhook,) = tenant.webhooks()
    assert webhook["signatureSecret"] not in printed
    assert "exists already: nothing to do." in printed
    assert "secret was shown when it was created" in printed
    assert f"`wallet-pipeline webhooks remove {webhook['id']}` and subscribe again" in printed


def test_subscribe_says_what_it_changed(tenant: Tenant) -> None:
    """Of an existing subscription it is told what was added, and that it was enabled again."""
    output("subscribe", URL, "--event", "Pass:Installed")
    output("disable", tenant.webhooks()[0]["id"])
    assert "exists already: enabled it again and added Pass:Uninstalled." in output("subscribe", URL)


def test_events_can_be_chosen(tenant: Tenant) -> None:
    """Each `--event` names an event, in place of the usual two."""
    output("subscribe", URL, "--event", "Pass:*", "--event", "Customer:Created")
    assert tenant.webhooks()[0]["events"] == ["Pass:*", "Customer:Created"]


def test_lost_secret_is_explained(tenant: Tenant) -> None:
    """Where the answer to the creation is lost and the service tells the secret only there, the way out is told."""
    tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": False})
    try:
        tenant.spoil({"type": "drop_after"}, path="/webhooks", method="POST", times=1)
        printed = output("subscribe", URL)
    finally:
        tenant.control("PATCH", "/webhook-settings", {"secret_in_reads": True})
    assert "the answer got lost and the secret with it" in printed
    assert f"webhooks remove {tenant.webhooks()[0]['id']}` and subscribe again" in printed


def test_list_shows_no_secret(tenant: Tenant) -> None:
    """A line per subscription tells id, state, endpoint and events, and no secret."""
    output("subscribe", URL)
    output("subscribe", "http://127.0.0.1:8473/webhooks/wallet-crew", "--event", "Pass:*")
    first, second = tenant.webhooks()
    output("disable", second["id"])
    assert output("list").splitlines() == [
        f"{first['id']}  enabled  {URL}  Pass:Installed, Pass:Uninstalled",
        f"{second['id']}  disabled  http://127.0.0.1:8473/webhooks/wallet-crew  Pass:*",
    ]


def test_empty_list_says_so() -> None:
    """Without a subscription there is a sentence, not silence."""
    assert output("list") == "The tenant has no webhook subscription.\n"


def test_disabled_subscription_stays(tenant: Tenant) -> None:
    """Disabling keeps the subscription and says what that means."""
    output("subscribe", URL)
    (webhook,) = tenant.webhooks()
    assert "the daily run still finds it" in output("disable", webhook["id"])
    assert tenant.webhooks() == [{**webhook, "enabled": False}]


def test_removed_subscription_is_gone(tenant: Tenant) -> None:
    """Removing takes the subscription away and says what to do with its secret."""
    output("subscribe", URL)
    assert "out of WEBHOOK_SECRETS" in output("remove", tenant.webhooks()[0]["id"])
    assert tenant.webhooks() == []


@pytest.mark.parametrize("command", ["disable", "remove"])
def test_unknown_id_is_explained(command: str) -> None:
    """A wrong id ends with status 1 and where to look."""
    result = call(command, "abcde")
    assert (result.exit_code, "`wallet-pipeline webhooks list` shows those that exist" in result.output) == (1, True)


@pytest.mark.parametrize("command", ["disable", "remove"])
def test_blank_id_is_not_sent(command: str, tenant: Tenant) -> None:
    """An empty variable in a script is explained, and The Wallet Crew is asked nothing."""
    result = call(command, " ")
    assert (result.exit_code, "it is blank; `wallet-pipeline webhooks list` shows the ids" in result.output) == (
        2,
        True,
    )
    assert not tenant.calls()


def test_subscription_that_brings_nothing_is_told() -> None:
    """Events that the pipeline does not take in are subscribed, and it says which of its own are lacking."""
    printed = output("subscribe", URL, "--event", "Pass:Instaled", "--event", "Pass:Un*")
    assert "Pass:Installed are not among its events: the pipeline takes in no others." in printed


def test_plain_http_elsewhere_is_refused(tenant: Tenant) -> None:
    """An endpoint without encryption ends with status 1 and creates nothing."""
    result = call("subscribe", "http://wallet.example.com/hook")
    assert (result.exit_code, "must begin with https://" in result.output) == (1, True)
    assert tenant.webhooks() == []


def test_key_without_the_scope_is_explained(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that may only read passes is told which scope it lacks."""
    monkeypatch.setenv("WALLET_CREW_API_KEY", tenant.facts["keys"]["passes_only"])
    result = call("list")
    assert (result.exit_code, "lacks the scope Webhook.Read" in result.output) == (1, True)


def test_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the command names the setting."""
    monkeypatch.delenv("WALLET_CREW_API_KEY")
    result = call("list")
    assert (result.exit_code, "The setting WALLET_CREW_API_KEY is missing" in result.output) == (1, True)


def test_address_with_a_password_is_not_subscribed(tenant: Tenant) -> None:
    """Every list of the subscriptions would show it."""
    result = call("subscribe", "https://user:password@wallet.example.com/webhooks/wallet-crew")
    assert (result.exit_code, "without user and password" in result.output, tenant.webhooks()) == (1, True, [])


def test_address_that_a_proxy_has_to_lead_on_is_told() -> None:
    """Another path than the receiver's is allowed, for a proxy may change it, and said."""
    assert "let your proxy lead there" in output("subscribe", "https://wallet.example.com/hooks")
    assert "proxy" not in output("subscribe", URL)
