"""The command `wallet-pipeline`: prints, asks, exits."""

import json
import logging
import os
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.collect.insights import DAYS_READ_AGAIN
from wallet_pipeline.collect.wallet_events import Replay, Selection, replay
from wallet_pipeline.collect.webhooks.receiver import WEBHOOK_PATH
from wallet_pipeline.collect.webhooks.server import run_receiver
from wallet_pipeline.collect.webhooks.subscriptions import (
    EVENTS,
    Subscription,
    leads_to_receiver,
    missing_events,
    remove,
    subscribe,
)
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.demo import run_demo
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.headless import (
    create_instance,
    dagster_environment,
    run_approved_plan,
    run_daily,
    run_insights,
    start_sensor,
    tell_alerts,
)
from wallet_pipeline.playground import dagster_process, receiver, sandbox
from wallet_pipeline.settings import load_settings, read_settings
from wallet_pipeline.support.customers import UnknownCustomerError
from wallet_pipeline.support.doctor.examination import examine
from wallet_pipeline.support.doctor.finding import Finding
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.words import many
from wallet_pipeline.support.explain.asking import ExplainRules, explain
from wallet_pipeline.support.explain.text import as_text
from wallet_pipeline.support.forget.forgetting import Erasure, Forgetting
from wallet_pipeline.sync.hubspot import connect
from wallet_pipeline.sync.plan import PlanRules, make_plan
from wallet_pipeline.sync.plan_summary import PlanResult
from wallet_pipeline.sync.setup_crm import setup_crm
from wallet_pipeline.warehouse.connection import connect as open_warehouse

_LARGEST_ID = 2**63 - 1
_READ_AGAIN = {
    "unchanged": "unchanged",
    "now_understood": "now understood",
    "no_longer_understood": "no longer understood",
    "understood_differently": "understood differently",
    "other_reason": "still not understood, for another reason",
    "forgotten": "of forgotten passes, to be erased",
    "missing": "no longer in the inbox, left as they are",
}


class _Explaining(click.Group):
    """Ends a command with the message alone when an error explains itself."""

    def invoke(self, ctx: click.Context) -> Any:
        # A stop by signal must end the processes below, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            return super().invoke(ctx)
        except ExplainedError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(
                f"{error.filename} cannot be used: {error.strerror}. Check DATA_DIR and the rights of the folder."
            ) from None
        except RuntimeError as error:
            if "Query interrupted" not in str(error):  # DuckDB's word for Ctrl+C
                raise
            raise click.Abort from None


@click.group(cls=_Explaining, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wallet-pipeline")
def main() -> None:
    """Wallet status of every customer, from The Wallet Crew into the CRM, verified."""


@main.command()
def demo() -> None:
    """Start the sandbox and run the pipeline three times on it."""
    run_demo(_checkout(), click.echo)


@main.command("sandbox", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def start_sandbox(options: tuple[str, ...]) -> None:
    """Start the local stand-ins of The Wallet Crew and HubSpot; `sandbox --help` lists the options."""
    os.execv(sys.executable, [sys.executable, "-m", "wallet_pipeline.sandbox", *options])  # noqa: S606


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
def dev(port: int) -> None:
    """Open Dagster's UI on the sandbox; stop it with Ctrl+C."""
    with sandbox(_checkout(), fresh=False) as box, receiver(box):
        create_instance(box.env)
        start_sensor(box.env, box.root / "workspace.yaml", "changes_sensor")
        command = ["dagster", "dev", "-w", str(box.root / "workspace.yaml"), "--port", str(port)]
        with dagster_process(box, command) as process:
            try:
                sys.exit(process.wait())
            except KeyboardInterrupt:
                sys.exit(0)


@main.command()
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="Read Insights from this UTC day on (else the last 3 days)."
)
@click.option("--approve-snapshot", metavar="ID", default="", help="Take over a snapshot that stopped an earlier run.")
@click.option(
    "--approve-plan", metavar="HASH", default="", help="Write a plan that stopped an earlier run, if it still holds."
)
def run(since: datetime | None, approve_snapshot: str, approve_plan: str) -> None:
    """Run the daily job now, through Dagster."""
    if approve_plan and (approve_snapshot or since):
        raise click.UsageError("--approve-plan stands alone: it writes the approved plan, without a new snapshot.")
    env, settings, began = dagster_environment(_checkout()), load_settings(), datetime.now(UTC)
    recent = max(settings.insights_first_day, began.date() - timedelta(days=DAYS_READ_AGAIN - 1))
    first = _not_before(settings.insights_first_day, since.date()) if since else recent
    if approve_plan:
        is_well = run_approved_plan(env, click.echo, approve_plan)
    else:
        has_insights = run_insights(env, click.echo, first, began.date())
        is_well = run_daily(env, click.echo, approve_snapshot) and has_insights
    if is_well:
        click.echo("The run went well. What it did, table by table: `wallet-pipeline doctor`, or Dagster's UI.")
    if settings.alerts_are_on:
        tell_alerts(env, click.echo, None if is_well else began.timestamp())
    sys.exit(not is_well)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8473, show_default=True, help="Port; 0 takes any free one."
)
def receive(host: str, port: int) -> None:
    """Receive webhooks and the connector's deliveries, until it is stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run_receiver(load_settings(), host, port, click.echo)


@main.command()
def plan() -> None:
    """Show what a run would do in the CRM now, and what it would take; nothing is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    _checkout()
    settings = load_settings()
    if not settings.warehouse_file.exists():
        raise click.ClickException(
            f"There is no warehouse {settings.warehouse_file}: nothing was read yet, so there is nothing to plan. How"
            " to see the first plan before it is written: docs/setup.md."
        )
    open_it = partial(open_warehouse, settings.warehouse_file, settings.warehouse_wait)
    with connect(settings) as destination:
        rules = PlanRules.from_settings(settings)
        found = make_plan(open_it, destination, settings.staging_dir, rules, datetime.now(UTC), keep=False)
    _tell_plan(found)


def _tell_plan(found: PlanResult) -> None:
    """Print counts, a sample, the verdict and the forecast."""
    click.echo(f"{found.customers} customers compared with {found.records} contacts, in {found.requests} requests.")
    for (action, reason), customers in found.actions.items():
        click.echo(f"  {action:8}{reason:45}{customers:>10}")
    if not found.actions:
        click.echo("The CRM holds the truth of every customer: a run would write nothing.")
        return
    click.echo("\nSome of each:")
    for row in found.sample:
        click.echo(f"  {row.customer_key} (contact {row.record_id or 'not there yet'}): {row.action}, {row.reason}")
        for change in row.changes:
            click.echo(f"      {change}")
    click.echo(f"\n{found.mass_change.sentence}")
    click.echo(f"To send it: {found.forecast}. Nothing was written.")


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value} is no time. Write it as 2026-01-31T08:00:00Z.") from error
    if moment.tzinfo is None:
        raise click.BadParameter(
            f"{value} has no time zone. Write it as 2026-01-31T08:00:00Z, or with +01:00 behind it."
        )
    return moment


def _past_moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    moment = _moment(context, option, value)
    if moment and moment > datetime.now(UTC):
        raise click.BadParameter(f"{value} lies in the future.")
    return moment


@main.command("explain")
@click.argument("who")
@click.option(
    "--as-of", metavar="TIME", callback=_past_moment, help="As it was known at this time: 2026-01-31T08:00:00Z."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; docs/explain.md describes it.")
def explain_customer(who: str, as_of: datetime | None, as_json: bool) -> None:  # noqa: FBT001  click gives it by name
    """Tell why a customer has the status they have, and what the CRM was told.

    WHO is an identifier such as customerId=1042, an e-mail, a pass id or the id of a CRM record. Nothing is written.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    _checkout()
    settings = load_settings()
    rules = ExplainRules.from_settings(settings)
    found = explain(settings.warehouse_file, settings.warehouse_wait, rules, who, as_of, datetime.now(UTC))
    click.echo(found.as_json() if as_json else as_text(found))


def _web_address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value} is no web address. Write it as http://127.0.0.1:8473.")
    return value.rstrip("/")


@main.command()
@click.option(
    "--receiver",
    "receiver_url",
    metavar="URL",
    callback=_web_address,
    default="http://127.0.0.1:8473",
    show_default=True,
    help="Where the receiver answers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all findings as one JSON object.")
@click.option("--send-alert", "sends_alert", is_flag=True, help="Also send a test alert by each channel.")
def doctor(receiver_url: str, as_json: bool, sends_alert: bool) -> None:  # noqa: FBT001  click gives them by name
    """Look at all that may be wrong, and say what to do; nothing is written. Status 1 when there is a problem."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    home = _checkout()
    settings, unusable = read_settings()
    installation = Installation(settings, unusable, receiver_url, home, partial(datetime.now, UTC), sends_alert)
    findings = []
    for subject, found in examine(installation):
        click.echo(subject, err=as_json)
        for finding in found:
            findings.append({"subject": subject} | vars(finding))
            if not as_json:
                _tell_finding(finding)
    problems, warnings = (sum(one["level"] == level for one in findings) for level in ("problem", "warning"))
    if as_json:
        click.echo(json.dumps({"problems": problems, "warnings": warnings, "findings": findings}, indent=2))
    else:
        counts = f"{many(problems, 'problem')}, {many(warnings, 'warning')}"
        click.echo(f"\n{counts}, {len(findings) - problems - warnings} ok. Nothing was written.")
    sys.exit(problems > 0)


def _tell_finding(finding: Finding) -> None:
    """Print a finding, and below it what to do next."""
    click.echo(f"  {finding.level:9}{finding.check}: {finding.sentence}")
    if finding.next_step:
        click.echo(f"  {'':9}Next: {finding.next_step}")


@main.command("replay")
@click.option(
    "--id",
    "ids",
    type=click.IntRange(1, _LARGEST_ID),
    multiple=True,
    metavar="N",
    help="Just this delivery; may be repeated.",
)
@click.option("--since", metavar="TIME", callback=_moment, help="Received at this time or later: 2026-01-31T08:00:00Z.")
@click.option("--until", metavar="TIME", callback=_moment, help="Received before this time.")
@click.option("--reason", metavar="TEXT", help="Not understood, for a reason that begins so.")
@click.option("--all", "everything", is_flag=True, help="All deliveries that were ever taken over.")
@click.option("--write", is_flag=True, help="Write what changes; else it is only counted.")
def read_again(
    ids: tuple[int, ...],
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
    everything: bool,  # noqa: FBT001  click gives it by name
    write: bool,  # noqa: FBT001
) -> None:
    """Read deliveries of the inbox again with the settings as they are now; of several conditions each must hold."""
    selection = Selection(ids, since, until, reason)
    if everything == (selection != Selection()):
        raise click.UsageError("Choose deliveries with --id, --since, --until or --reason; or all of them with --all.")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    _checkout()
    settings = load_settings()
    result = replay(
        partial(open_warehouse, settings.warehouse_file, settings.warehouse_wait),
        settings.inbox_file,
        EventMapping.from_settings(settings),
        selection,
        dry_run=not write,
    )
    _tell_replay(result, write=write)


def _tell_replay(result: Replay, *, write: bool) -> None:
    """Print what became of each delivery, and what to do next."""
    if not (count := sum(vars(result).values())):
        click.echo("No delivery that was taken over meets this. raw.unusable_deliveries lists those not understood.")
        return
    click.echo(f"{'deliveries read again':45}{count:>10}")
    for name, count in vars(result).items():
        click.echo(f"  {_READ_AGAIN[name]:43}{count:>10}")
    if not result.changed:
        click.echo("Nothing changes.")
    elif not write:
        click.echo("Nothing was written. To write it, give the same command with --write.")
    else:
        click.echo(
            "Written. The next run derives the customers whom it touches: the job sync_changes, or wallet-pipeline run."
        )


@main.command()
@click.argument("whom")
@click.option("--crm", "clear_crm", is_flag=True, help="Also clear the wallet fields of the linked contact in the CRM.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def forget(whom: str, clear_crm: bool, is_sure: bool) -> None:  # noqa: FBT001  click gives them by name
    """Remove one person from everything that the pipeline keeps. WHOM: customerId=…, an e-mail, or a pass id."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    forgetting = Forgetting(load_settings(), _checkout(), partial(datetime.now, UTC))
    finished = forgetting.finish()
    if finished:
        click.echo("First finished: an erasure that had been broken off.")
    try:
        found = forgetting.look(whom)
    except UnknownCustomerError as error:
        if not finished:
            raise
        click.echo(str(error))
        return
    if not is_sure:
        _tell_erasure(found, "To be removed:", "it will be published anew")
        if clear_crm:
            click.echo("Its five wallet fields in the CRM will be cleared.")
        if not click.confirm("Remove all of it for good?"):
            click.echo("Nothing was removed.")
            sys.exit(1)
    try:
        removed = forgetting.remove(whom, clear_crm=clear_crm)
    except KeyboardInterrupt:
        raise click.ClickException(
            "Broken off. Give the same command again: it goes on, or finishes what had been begun."
        ) from None
    _tell_erasure(removed, "Removed:", "published anew")


def _tell_erasure(found: Erasure, title: str, published: str) -> None:
    """Print what was found of a person, or removed, place by place."""
    click.echo(f"{title} {many(found.passes, 'pass', 'passes')}, with all that is known by them.")
    places = {f"warehouse, {table}": count for table, count in found.removed.rows.items()}
    places |= {f"warehouse, {table}: identifiers in rows of others": n for table, n in found.removed.redacted.items()}
    places |= {"inbox, deliveries": found.deliveries, "staging, held snapshots": found.held_snapshots}
    places |= {"logs of runs, lines and rows": found.log_places}
    for place, count in places.items():
        click.echo(f"  {place:60}{count:>8}")
    click.echo(f"  analysts' file: {published if found.is_published else 'there is none'}")
    click.echo(f"  CRM: {found.contact}")
    if found.removed.kin:
        click.echo(f"{many(found.removed.kin, 'pass', 'passes')} of others shared an identifier and are derived anew.")
    if found.shared:
        click.echo(f"{many(found.shared, 'identifier')} of theirs others bear too: what stands under them is kept.")
    if found.waiting:
        click.echo(
            f"{many(found.waiting, 'delivery', 'deliveries')} of the inbox were not taken over yet: they may add to it."
        )
    if found.in_use:
        click.echo(f"{many(found.in_use, 'work file')} of runs that are going on may name them, until these runs end.")
    for file in found.unclean:
        click.echo(f"{file} could not be written anew: run this again when nothing is running.")


@main.command("setup-crm")
def prepare_crm() -> None:
    """Create the contact properties that the CRM lacks; needs a token with crm.schemas.contacts.write."""
    _checkout()
    with connect(load_settings()) as destination:
        result = setup_crm(destination)
    click.echo(
        f"Created: {', '.join(result.created) or 'nothing'}. There already: {', '.join(result.present) or 'none'}."
    )


def _not_blank(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("it is blank; `wallet-pipeline webhooks list` shows the ids.")
    return value


@main.group()
def webhooks() -> None:
    """Manage the subscriptions at The Wallet Crew; needs a key with Webhook.Read and Webhook.Write."""


@webhooks.command("subscribe")
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, metavar="NAME", default=EVENTS, show_default=True,
    help="Event to be told of, a trailing * for all that begin so; may be repeated.",
)  # fmt: skip
def subscribe_webhook(url: str, events: tuple[str, ...]) -> None:
    """Let The Wallet Crew deliver to a receiver's URL; as often as you like, it makes one subscription."""
    with _wallet_crew() as client:
        result = subscribe(client, url, events)
    _tell(result)


@webhooks.command("list")
def list_webhooks() -> None:
    """List all subscriptions of the tenant, without their secrets."""
    with _wallet_crew() as client:
        found = client.list_webhooks()
    for one in found:
        click.echo(f"{one.id}  {'enabled' if one.enabled else 'disabled'}  {one.endpoint}  {', '.join(one.events)}")
    if not found:
        click.echo("The tenant has no webhook subscription.")


@webhooks.command("disable")
@click.argument("webhook_id", metavar="ID", callback=_not_blank)
def disable_webhook(webhook_id: str) -> None:
    """Stop the deliveries of a subscription and keep it; `subscribe` enables it again."""
    with _wallet_crew() as client:
        client.change_webhook(webhook_id, enabled=False)
    click.echo(f"Disabled {webhook_id}: what happens from now on is not delivered; the daily run still finds it.")


@webhooks.command("remove")
@click.argument("webhook_id", metavar="ID", callback=_not_blank)
def remove_webhook(webhook_id: str) -> None:
    """Remove a subscription; its secret is worth nothing then."""
    with _wallet_crew() as client:
        remove(client, webhook_id)
    click.echo(f"Removed {webhook_id}. Take its secret out of WEBHOOK_SECRETS.")


def _wallet_crew() -> WalletCrew:
    _checkout()
    settings = load_settings()
    return WalletCrew(settings.wallet_crew_base_url, *settings.wallet_crew_credentials())


def _tell(result: Subscription) -> None:
    """Say what became of a subscription, and its secret if this is the only time that it can be said."""
    webhook, secret = result.webhook, result.webhook.signature_secret.get_secret_value()
    anew = f"call `wallet-pipeline webhooks remove {webhook.id}` and subscribe again"
    if lacking := missing_events(webhook):
        click.echo(
            f"{' and '.join(lacking)} are not among its events: the pipeline takes in no others. Subscribe again"
            " without --event to add them."
        )
    if not result.created:
        added = [f"added {', '.join(result.added)}"] if result.added else []
        done = ["enabled it again"] * result.enabled + added or ["nothing to do"]
        click.echo(f"The subscription {webhook.id} of {webhook.endpoint} exists already: {' and '.join(done)}.")
        click.echo(f"Its signature secret was shown when it was created. For a new one, {anew}.")
    elif not secret:
        click.echo(f"Created {webhook.id}, but the answer got lost and the secret with it. For one, {anew}.")
    else:
        click.echo(f"Created {webhook.id}: {', '.join(webhook.events)} are delivered to {webhook.endpoint}.")
        click.echo(f"Signature secret, shown this once: {secret}")
        if not leads_to_receiver(webhook):
            click.echo(f"The receiver takes deliveries at {WEBHOOK_PATH}: let your proxy lead there.")
        click.echo(
            "Put it into WEBHOOK_SECRETS in .env and restart `wallet-pipeline receive`. While you replace another"
            " secret, keep the old one beside it, with a comma between."
        )


def _not_before(earliest: date, first: date) -> date:
    if first < earliest:
        raise click.UsageError(
            f"--since {first} lies before INSIGHTS_FIRST_DAY ({earliest}). Set INSIGHTS_FIRST_DAY to that day."
        )
    if first > datetime.now(UTC).date():
        raise click.UsageError(f"--since {first} lies in the future.")
    return first


def _checkout() -> Path:
    """Return the folder of the project: the one with dagster.yaml, which must be the current one."""
    if not Path("dagster.yaml").exists():
        raise click.ClickException("Run this in the folder of the project, where dagster.yaml lies.")
    return Path.cwd()


if __name__ == "__main__":
    main()
