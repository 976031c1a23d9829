"""The Wallet Crew: address, tenant, key and scopes, clock, subscriptions, and the vendor's totals."""

import hmac
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import duckdb

from wallet_pipeline.clients.http import ScopeError
from wallet_pipeline.clients.wallet_crew import WalletCrew, Webhook
from wallet_pipeline.collect.webhooks.receiver import WEBHOOK_PATH
from wallet_pipeline.collect.webhooks.subscriptions import leads_to_receiver, missing_events
from wallet_pipeline.derive.arrivals import measure_silence
from wallet_pipeline.derive.vendor_totals import compare_total
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.doctor.clocks import judge_clock
from wallet_pipeline.support.doctor.finding import Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import ATTEMPTS, LIMITS, Installation
from wallet_pipeline.warehouse.connection import look_into, naive
from wallet_pipeline.warehouse.queries import one_row

_ONE_EVENT = "Events | take 1 | project eventId"
_WALLETS = ("apple", "google")
_RECENT = timedelta(hours=1)


def examine_wallet_crew(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the service. Raises MissingSettingError."""
    settings = installation.settings
    credentials = settings.wallet_crew_credentials()
    with WalletCrew(settings.wallet_crew_base_url, *credentials, LIMITS, ATTEMPTS) as client:
        access = list(each({"access": partial(_access, client, settings)}))
        yield from access
        yield from each({"clock": lambda: judge_clock("The Wallet Crew", client.server_time, installation.clock())})
        if any(one.level != "ok" for one in access):
            return
        yield from each(
            {
                "scope Pass.Read": partial(_scope, "Pass.Read", partial(client.read_passes, 0, 1)),
                "scope Insights.Read": partial(_scope, "Insights.Read", partial(client.query_insights, _ONE_EVENT)),
                "subscriptions": partial(_subscriptions, client, installation),
                "vendor totals": partial(_vendor_totals, client, installation),
            }
        )


def _access(client: WalletCrew, settings: Settings) -> Iterator[Finding]:
    with suppress(ScopeError):  # the key is known; what it may do is looked at below
        client.read_passes(0, 1)
    yield ok(f"{settings.wallet_crew_base_url} knows the tenant {settings.wallet_crew_tenant_id} and accepts the key.")


def _scope(scope: str, ask: Callable[[], object]) -> Iterator[Finding]:
    ask()
    yield ok(f"The key has {scope}.")


def _subscriptions(client: WalletCrew, installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    try:
        webhooks = client.list_webhooks()
    except ScopeError:
        text = "The key lacks Webhook.Read, which no run needs, so subscriptions cannot be looked at."
        step = "Look at them in the tenant's back office, or call doctor once with a key that has Webhook.Read."
        yield warning(text, step) if settings.webhook_secrets else ok(text)
        return
    ours = [one for one in webhooks if leads_to_receiver(one)]
    for one in ours:
        yield _judge_subscription(one, settings)
    if not ours and settings.webhook_secrets:
        yield warning(
            f"WEBHOOK_SECRETS is set, but the tenant has no subscription to an address that ends with {WEBHOOK_PATH}.",
            "`wallet-pipeline webhooks subscribe URL` makes one; without webhooks take WEBHOOK_SECRETS away.",
        )
    elif not ours:
        yield ok(f"The tenant has no subscription to an address that ends with {WEBHOOK_PATH}.")


def _judge_subscription(webhook: Webhook, settings: Settings) -> Finding:
    name = f"Subscription {webhook.id} of {_address(webhook.endpoint)}"
    again = f"`wallet-pipeline webhooks subscribe {_address(webhook.endpoint)}`"
    if not webhook.enabled:
        return warning(f"{name} is disabled: nothing is delivered.", f"{again} enables it; `webhooks remove` ends it.")
    if lacking := missing_events(webhook):
        return warning(f"{name} does not deliver {', '.join(lacking)}.", f"{again} adds what is lacking.")
    if not settings.webhook_secrets:
        return problem(
            f"{name} is enabled, but WEBHOOK_SECRETS is empty: every delivery is refused.",
            "Put its signature secret into WEBHOOK_SECRETS and restart `wallet-pipeline receive`. If nobody has the"
            f" secret any more: `wallet-pipeline webhooks remove {webhook.id}`, and subscribe again.",
        )
    if not _is_known(webhook, settings):
        return problem(
            f"{name} signs with a secret that is not in WEBHOOK_SECRETS: its deliveries are refused.",
            "Add it to WEBHOOK_SECRETS, with a comma between, and restart `wallet-pipeline receive`.",
        )
    return ok(f"{name} is enabled and delivers {', '.join(webhook.events)}.")


def _is_known(webhook: Webhook, settings: Settings) -> bool:
    """Tell whether the secret is in the settings; a service that does not tell it is believed."""
    theirs = webhook.signature_secret.get_secret_value().encode()
    ours = [secret.get_secret_value().encode() for secret in settings.webhook_secrets]
    return not theirs or any(hmac.compare_digest(theirs, one) for one in ours)


def _address(endpoint: str) -> str:
    """Return an address without what may be a secret in it."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _vendor_totals(client: WalletCrew, installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    if "DATA_DIR" in installation.unusable or not settings.warehouse_file.exists():
        return
    theirs = {wallet: client.count_passes(wallet) for wallet in _WALLETS}
    with look_into(settings.warehouse_file, wait=1) as con:
        totals = [compare_total(con, wallet, count) for wallet, count in theirs.items()]
        follows = _follows(con, installation)
    for total in totals:
        if total.agrees:
            yield ok(str(total))
        elif follows:
            yield warning(
                str(total),
                "Run the daily job and look again; if they still differ, look at raw.snapshots for undated ones.",
            )
        else:
            yield ok(f"{total} They follow with the next snapshot.")


def _follows(con: duckdb.DuckDBPyConnection, installation: Installation) -> bool:
    """Tell whether the registers should be up to date: events arrive, or the list has just been read."""
    now = installation.clock()
    (recent,) = one_row(
        con,
        "SELECT count(*) FROM raw.snapshots WHERE verdict = 'accepted' AND started_at >= ?",
        [naive(now - _RECENT)],
    )
    silence = measure_silence(con, now)
    return bool(recent) or (silence is not None and not silence.unusual)
