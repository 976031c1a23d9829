"""The asset of the daily certificate: what the sources say, whether they agree, and a page about it."""

from typing import Any

import dagster as dg

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Pipeline, explained, now
from wallet_pipeline.defs.tables import definition_metadata, description, markdown_table
from wallet_pipeline.derive.reconciliation import (
    COMPARISONS,
    Certificate,
    ReconciliationRules,
    newest_certificate,
    reconcile,
)

_FIGURES = {
    "verdict": "**Verdict**",
    "pass_api_installed": "Passes installed: Pass API",
    "registers_installed": "Passes installed: registers",
    "unmatched_passes": "of these in no customer: no identifier",
    "conflict_passes": "of these in no customer: identifier in conflict",
    "insights_installed": "Passes installed: Insights",
    "customers_installed": "Customers who have the wallet",
    "crm_installed": "Customers who have the wallet in the CRM",
    "held_customers": "Customers held back from the CRM",
    "pass_api_installs": "Installs that day: Pass API",
    "insights_installs": "Installs that day: Insights",
    "inbox_installs": "Installs that day: delivered",
    "insights_uninstalls": "Uninstalls that day: Insights",
    "inbox_uninstalls": "Uninstalls that day: delivered",
    "lost_events": "Events that were not delivered",
    "late_p50_seconds": "Delivered within: half of them",
    "late_p99_seconds": "Delivered within: 99 %",
    "verified_changes": "Events verified in the CRM",
    "verified_p50_seconds": "Verified within: half of them",
    "verified_p99_seconds": "Verified within: 99 %",
    "drift_found": "Customers with drift found that day",
    "drift_repaired": "Customers with drift repaired that day",
    "differences": "Differences",
    "unexplained": "of these not explained",
    "newly_unexplained": "of these new",
}
_PLOTTED = ("differences", "unexplained", "lost_events", "verified_changes", "drift_found", "drift_repaired")
_MINUTES_FROM, _HOURS_FROM = 120, 7200  # seconds


@dg.asset(
    group_name="derive",
    kinds={"sql", "duckdb"},
    deps=[
        "pass_snapshot",
        "wallet_events",
        "insights_daily",
        "wallet_registers",
        "pass_customers",
        "customer_wallet_status",
        "customer_status_changes",
        "calendar",
        "crm_plan",
        "crm_contacts",
    ],
    description=description("wallet.reconciliation"),
    metadata=definition_metadata("wallet.reconciliation"),
    freshness_policy=DAILY,
)
def reconciliation(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    """Compare the sources, day by day, and issue certificates."""
    with explained(), pipeline.open_warehouse() as con:
        days = reconcile(con, ReconciliationRules.from_settings(pipeline.settings()), now())
        certificate = newest_certificate(con)
    if certificate is None:
        context.log.info("No certificate: no day is over of which Insights was read whole and a list was taken.")
        return dg.MaterializeResult(metadata={"days_certified": 0})
    plotted = {figure: sum(row[figure] or 0 for row in certificate.wallets.values()) for figure in _PLOTTED}
    return dg.MaterializeResult(
        metadata={
            "certificate": dg.MetadataValue.md(_page(certificate)),
            "day": str(certificate.day),
            "verdict": certificate.verdict,
            "days_certified": len(days),
            **plotted,
        }
    )


def _page(certificate: Certificate) -> str:
    """Return the certificate as a page of Markdown."""
    wallets = certificate.wallets
    figures = [[label, *(figure(name, row[name]) for row in wallets.values())] for name, label in _FIGURES.items()]
    reasons = [
        [wallet, COMPARISONS[comparison], explanation or "**not explained**", differences]
        for wallet, comparison, explanation, differences in certificate.reasons
    ]
    sample = [
        [wallet, COMPARISONS[comparison], difference, explanation or "**not explained**", pass_id, key, when]
        for wallet, comparison, difference, explanation, pass_id, key, when in certificate.sample
    ]
    parts = [
        f"## {certificate.day}: {certificate.verdict}",
        f"{certificate} {_counted(certificate)}",
        markdown_table(["", *wallets], figures).value,
    ]
    if reasons:
        parts += ["### Differences by reason"]
        parts += [markdown_table(["wallet", "between", "reason", "differences"], reasons).value]
        parts += [f"### {len(sample)} of them; reconciliation_differences has all"]
        names = ["wallet", "between", "difference", "reason", "pass", "customer", "when (UTC)"]
        parts += [markdown_table(names, sample).value]
    return "\n\n".join(parts)


def _counted(certificate: Certificate) -> str:
    """Say of which moment the figures of what is installed are."""
    row = next(iter(certificate.wallets.values()))
    listed_at = row["listed_at"]
    if listed_at is None:
        return ""
    return (
        f"What is installed was counted by the list of {listed_at:%Y-%m-%d %H:%M} UTC; the events are those of the day."
    )


def figure(name: str, value: Any) -> Any:
    """Return a figure as the page shows it: what was not looked at is a dash, a time has its unit."""
    if value is None:
        return "-"
    return _duration(value) if name.endswith("_seconds") else value


def _duration(seconds: float) -> str:
    if abs(seconds) < _MINUTES_FROM:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if abs(seconds) < _HOURS_FROM else f"{seconds / 3600:.1f} h"
