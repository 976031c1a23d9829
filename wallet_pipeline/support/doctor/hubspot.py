"""HubSpot: address, token and scopes, properties, clock, and the limits of the account."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from wallet_pipeline.clients.http import ScopeError
from wallet_pipeline.clients.hubspot import HubSpot, RefusedError
from wallet_pipeline.settings import Settings
from wallet_pipeline.support.doctor.clocks import judge_clock
from wallet_pipeline.support.doctor.finding import Finding, each, ok, warning
from wallet_pipeline.support.doctor.installation import ATTEMPTS, LIMITS, Installation
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.setup_crm import require_definitions

_READ, _WRITE = "crm.objects.contacts.read", "crm.objects.contacts.write"


def examine_hubspot(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the CRM account. Raises MissingSettingError."""
    settings = installation.settings
    token = settings.hubspot_credentials()
    address = settings.hubspot_base_url, settings.hubspot_api_version
    # Without a reserve: what is left to other apps is enough for the few requests of a look.
    with HubSpot(*address, token, LIMITS, ATTEMPTS, reserve=0) as client:
        access = list(each({"access": partial(_access, client, settings)}))
        yield from access
        yield from each({"clock": lambda: judge_clock("HubSpot", client.server_time, installation.clock())})
        if any(one.level != "ok" for one in access):
            return
        destination = HubSpotDestination(client, settings.crm_customer_property)
        yield from each(
            {
                f"scope {_READ}": partial(_may_read, client),
                f"scope {_WRITE}": partial(_may_write, client),
                "properties": partial(_properties, destination),
                "quota": partial(_quota, client, settings),
            }
        )


def _access(client: HubSpot, settings: Settings) -> Iterator[Finding]:
    with suppress(ScopeError):  # the token is known; what it may do is looked at below
        client.read_definitions()
    yield ok(f"{settings.hubspot_base_url} answers version {settings.hubspot_api_version} and accepts the token.")


def _may_read(client: HubSpot) -> Iterator[Finding]:
    with suppress(RefusedError):  # there need be no such contact
        client.read_contacts(["1"], ["hs_object_id"])
    yield ok(f"The token has {_READ}.")


def _may_write(client: HubSpot) -> Iterator[Finding]:
    client.try_to_write()
    yield ok(f"HubSpot does not refuse the token {_WRITE}, asked to write no contact at all.")


def _properties(destination: HubSpotDestination) -> Iterator[Finding]:
    definitions = require_definitions(destination)
    yield ok(f"The contact properties are there as needed: {', '.join(definitions.present)}.")


def _quota(client: HubSpot, settings: Settings) -> Iterator[Finding]:
    limits = client.rate_limits
    if limits.limit is None:
        yield ok("HubSpot does not tell the limits of the account.")
        return
    burst = f"This token may send {limits.limit} requests in {limits.window:.0f} s"
    if limits.per_day is None or limits.left_today is None:
        yield ok(f"{burst}; HubSpot does not tell the day's quota.")
        return
    text = f"{burst}; {limits.left_today} of the day's {limits.per_day}, which all apps share, are left."
    if limits.left_today > limits.per_day * settings.hubspot_reserve:
        yield ok(text)
        return
    yield warning(
        f"{text} These are left to other apps (HUBSPOT_RESERVE).",
        "Nothing is lost: a run goes on after midnight in the account's time zone. Find out which app uses up the day.",
    )
