"""Asset checks: each says in a sentence what holds, or what does not and what to do."""

import logging
from datetime import timedelta
from typing import Any

import dagster as dg

from wallet_pipeline.defs.resources import Pipeline, explained, now
from wallet_pipeline.derive.arrivals import measure_silence, sum_up_arrivals
from wallet_pipeline.derive.reconciliation import newest_certificate
from wallet_pipeline.derive.vendor_totals import compare_total
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sync.drift_share import measure_drift
from wallet_pipeline.sync.fights import sum_up_fights
from wallet_pipeline.warehouse.queries import one_row

_HOUR = timedelta(hours=1)
_CERTIFIED_WITHIN = timedelta(days=3)
_NEVER_RECEIVED = "No delivery has ever been received: real time is not set up."
_FIRST_STEPS = (
    " First see whether signatures match (the receiver's page /metrics counts refusals), whether the endpoint answers"
    " from outside and is still subscribed (`wallet-pipeline webhooks list`), and whether the sender gave up its"
    " retries: docs/troubleshooting.md, Events that do not arrive."
)


log = logging.getLogger(__name__)


def _told(**result: Any) -> dg.AssetCheckResult:
    """Return the result; a failed one is logged too, for those who run without the UI."""
    if not result["passed"]:
        log.warning(result["description"])
    return dg.AssetCheckResult(**result)


def _check(asset: str, name: str, claim: str, query: str, advice: str) -> dg.AssetChecksDefinition:
    """Return a check that passes when `query` counts nothing."""

    @dg.asset_check(asset=asset, name=name, description=claim)
    def check(pipeline: Pipeline) -> dg.AssetCheckResult:
        with explained(), pipeline.open_warehouse() as con:
            (count,) = one_row(con, query)
        return _told(
            passed=count == 0,
            description=claim if count == 0 else f"{count} rows break this: {claim} {advice}",
            metadata={"rows": count},
        )

    return check


_RUN_AGAIN = "Run the daily job again; if it stays so, report it with the rows."

registers_unique = _check(
    "wallet_registers",
    "key_unique",
    "Each pass and wallet has one register.",
    "SELECT count(*) FROM (SELECT pass_id, wallet FROM wallet.registers GROUP BY ALL HAVING count(*) > 1)",
    _RUN_AGAIN,
)
registers_consistent = _check(
    "wallet_registers",
    "dates_consistent",
    "A register has an installation date exactly while it is installed, and a change exactly once it ever was.",
    "SELECT count(*) FROM wallet.registers WHERE installed <> (installed_at IS NOT NULL)"
    " OR (changed_at IS NULL) <> (last_event IS NULL) OR installed AND last_event <> 'installed'",
    _RUN_AGAIN,
)
customers_unique = _check(
    "customer_wallet_status",
    "key_unique",
    "Each customer has one row.",
    "SELECT count(*) FROM (SELECT customer_key FROM wallet.customer_wallet_status GROUP BY ALL HAVING count(*) > 1)",
    _RUN_AGAIN,
)
customers_consistent = _check(
    "customer_wallet_status",
    "status_consistent",
    "wallet_status says just what the installation dates say, and who has a wallet has a last change.",
    "SELECT count(*) FROM wallet.customer_wallet_status WHERE wallet_status <> CASE"
    " WHEN apple_wallet_installed_at IS NULL AND google_wallet_installed_at IS NULL THEN 'none'"
    " WHEN google_wallet_installed_at IS NULL THEN 'apple' WHEN apple_wallet_installed_at IS NULL THEN 'google'"
    " ELSE 'both' END OR wallet_status <> 'none' AND wallet_last_changed_at IS NULL",
    _RUN_AGAIN,
)
versions_current = _check(
    "customer_status_changes",
    "current_version",
    "Each customer has one standing version, and it is the customer's row.",
    "SELECT count(*) FROM wallet.customer_wallet_status c FULL JOIN"
    " (SELECT customer_key, count(*) AS versions, any_value(wallet_status) AS wallet_status"
    " FROM wallet.customer_status_changes WHERE valid_to IS NULL GROUP BY customer_key) v USING (customer_key)"
    " WHERE v.versions IS DISTINCT FROM 1 OR c.wallet_status IS DISTINCT FROM v.wallet_status",
    _RUN_AGAIN,
)
deliveries_verified = _check(
    "crm_contacts",
    "written_is_verified",
    "Everything that was written to the CRM was found there when it was read back, or has been put right since.",
    "SELECT count(*) FROM (SELECT max_by(outcome, intended_at) AS outcome FROM crm.deliveries"
    " SEMI JOIN crm.rejections USING (customer_key) GROUP BY customer_key) WHERE outcome <> 'verified'",
    "crm_rejections lists each with its reason and the next step.",
)


@dg.asset_check(
    asset="crm_contacts",
    description="Nobody keeps overwriting what the pipeline writes: no field was put right three times in seven days.",
)
def no_fights(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Look for fields that somebody and the pipeline overwrite again and again."""
    with explained(), pipeline.open_warehouse() as con:
        fights = sum_up_fights(con, now())
    return _told(
        passed=fights.fields == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(fights),
        metadata={"fields": fights.fields, "customers": fights.customers},
    )


@dg.asset_check(
    asset="crm_contacts",
    description="Others changed fields of no more than ALERT_DRIFT_SHARE of the CRM's customers within a day.",
)
def little_drift(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Compare the share of customers with drift with its limit."""
    with explained(), pipeline.open_warehouse() as con:
        drift = measure_drift(con, now())
    limit = pipeline.settings().alert_drift_share
    advice = "" if drift.share <= limit else " crm_drift lists each field with who changed it."
    return _told(
        passed=drift.share <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{drift} ({drift.share:.1%}, limit {limit:.0%}).{advice}",
        metadata={"customers": drift.drifted, "share": drift.share},
    )


@dg.asset_check(
    asset="unmatched_passes",
    description="No more than MAX_UNMATCHED_SHARE of the passes bear no identifier of IDENTIFIER_ORDER.",
)
def unmatched_share(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Compare the share of passes without a customer with its limit."""
    with explained(), pipeline.open_warehouse() as con:
        unmatched, passes = one_row(
            con, "SELECT count(*) FILTER (resolution = 'unmatched'), count(*) FROM wallet.pass_customers"
        )
    limit = pipeline.settings().max_unmatched_share
    share = unmatched / passes if passes else 0.0
    advice = (
        "" if share <= limit else " See which identifiers they do bear in unmatched_passes; correct IDENTIFIER_ORDER."
    )
    return _told(
        passed=share <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{unmatched} of {passes} passes ({share:.1%}, limit {limit:.0%}) are in no customer.{advice}",
        metadata={"unmatched": unmatched, "share": share},
    )


def _vendor_check(wallet: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset="wallet_registers",
        name=f"agrees_with_vendor_{wallet}",
        description=f"The vendor's own total of passes installed in {wallet} agrees with the registers.",
    )
    def check(pipeline: Pipeline) -> dg.AssetCheckResult:
        try:
            with pipeline.wallet_crew() as client:
                theirs = client.count_passes(wallet)
            with pipeline.open_warehouse() as con:
                total = compare_total(con, wallet, theirs)
        except ExplainedError as error:
            # A comparison that cannot be made is a warning, no reason to stop the run.
            return _told(passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error))
        advice = " Take another snapshot; if they still differ, look at raw.snapshots for undated ones."
        return _told(
            passed=total.agrees,
            severity=dg.AssetCheckSeverity.WARN,
            description=str(total) if total.agrees else str(total) + advice,
            metadata={"vendor": total.vendor, "registers": total.registers},
        )

    return check


agrees_with_vendor_apple = _vendor_check("apple")
agrees_with_vendor_google = _vendor_check("google")


@dg.asset_check(
    asset="event_arrivals",
    description="Of the events that Insights counted on the last seven complete days, no more than 1 % never arrived.",
)
def events_arrive(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Compare the share of events that never arrived with its limit, and tell how late the others were."""
    with explained(), pipeline.open_warehouse() as con:
        arrivals, silence = sum_up_arrivals(con), measure_silence(con, now())
    if arrivals.counted == 0:
        nothing = "No complete day with events since the first delivery: nothing to compare yet."
        return _told(passed=True, description=_NEVER_RECEIVED if silence is None else nothing)
    late = {"late_p50_seconds": arrivals.late_p50, "late_p99_seconds": arrivals.late_p99}
    return _told(
        passed=arrivals.enough,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(arrivals) + ("" if arrivals.enough else _FIRST_STEPS),
        metadata={"missing_share": arrivals.missing_share} | {name: s for name, s in late.items() if s is not None},
    )


@dg.asset_check(
    asset="wallet_events",
    description="The last delivery is not longer ago than twice the longest pause of the last 30 days, or two hours.",
)
def not_silent(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Compare the time since the last delivery with what was usual lately."""
    with explained(), pipeline.open_warehouse() as con:
        silence = measure_silence(con, now())
    if silence is None:
        return _told(passed=True, description=_NEVER_RECEIVED)
    return _told(
        passed=not silence.unusual,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(silence) + (_FIRST_STEPS if silence.unusual else ""),
        metadata={"silent_hours": silence.lasts / _HOUR, "usual_hours": silence.usual / _HOUR},
    )


@dg.asset_check(
    asset="reconciliation",
    description="Pass API, inbox, Insights and CRM agree on the newest day, but for what has a reason or is not new.",
)
def sources_agree(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Look at the newest certificate: what is not explained there, and whether it is of a day long ago."""
    with explained(), pipeline.open_warehouse() as con:
        certificate = newest_certificate(con)
    if certificate is None:
        return _told(passed=True, description="No day could be certified yet.")
    overdue = now().date() - certificate.day > _CERTIFIED_WITHIN
    advice = ""
    if certificate.newly_unexplained:
        advice += " reconciliation_differences lists each: docs/reconciliation.md says what may be behind it."
    if certificate.verdict == "not compared":
        advice += " Run the job `daily` after `insights` every day."
    if overdue:
        advice += " No later day could be certified: read the days since from Insights, with the job `insights`."
    return _told(
        passed=not advice,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{certificate}{advice}",
        metadata={"unexplained": certificate.unexplained, "day": str(certificate.day)},
    )
