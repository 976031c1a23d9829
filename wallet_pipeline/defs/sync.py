"""Assets of the third stage: what to tell the CRM, and what it then holds."""

import time

import dagster as dg

from wallet_pipeline.defs.collect import DAILY
from wallet_pipeline.defs.resources import Extent, Pipeline, explained, now
from wallet_pipeline.defs.tables import breakdown, definition_metadata, description, markdown_table
from wallet_pipeline.sync.changes import seconds_until_settled
from wallet_pipeline.sync.destination import Scope
from wallet_pipeline.sync.drift_authors import Authors
from wallet_pipeline.sync.hubspot import connect
from wallet_pipeline.sync.lane import Lane
from wallet_pipeline.sync.plan import PlanRules
from wallet_pipeline.sync.rejections import Rejections, sum_up_rejections

_TURNING_TO_NONE = """
    SELECT
        customer_key AS customer, held_wallet_status, wallet_last_changed_at
    FROM crm.plan
    WHERE
        plan_id = '{plan_id}' AND action IN ('update', 'link')
        AND wallet_status = 'none' AND held_wallet_status <> 'none'
    ORDER BY customer_key
    LIMIT 20
"""
_NOTHING_WRITTEN: dict[Scope, str] = {
    "all": "0 contacts written: the CRM already holds the truth of every customer that is due",
    "changes": "0 contacts written: no changed customer is due, or a newer plan has them",
}
_LEFT = "Another run has the lane to the CRM: it sends the changes, between its own."


class PlanConfig(Extent):
    """Which customers, and the approval of a plan that stopped an earlier run, by its hash."""

    approve_plan: str = ""


@dg.asset(
    group_name="sync",
    kinds={"python", "duckdb", "hubspot"},
    deps=["customer_wallet_status", "customer_status_changes", "identity_conflicts", "pass_customers"],
    description=description("crm.plan") + " It comes from comparing every customer with what the CRM holds now.",
    metadata=definition_metadata("crm.plan"),
    freshness_policy=DAILY,
    check_specs=[
        dg.AssetCheckSpec(
            "no_mass_change",
            asset="crm_plan",
            blocking=True,
            description="The plan turns no more than MAX_NONE_SHARE of the CRM's customers to `none`.",
        )
    ],
)
def crm_plan(context: dg.AssetExecutionContext, config: PlanConfig, pipeline: Pipeline) -> dg.MaterializeResult:
    """Read the CRM, compare, and plan the writes; nothing is written here."""
    with explained():
        settings = pipeline.settings()
        rules = PlanRules.from_settings(settings)
        if not config.changes_only:
            _wait_until_settled(pipeline, rules)
        with connect(settings) as destination:
            lane = Lane(pipeline.open_warehouse, destination, settings.staging_dir, rules, now)
            plan = lane.plan(_scope(config), config.approve_plan)
            authors = lane.name_authors(_scope(config)) if plan else None
        if plan is None:
            return _left_to_another_run()
        with pipeline.open_warehouse() as con:
            turning = breakdown(con, _TURNING_TO_NONE.format(plan_id=plan.plan_id))
    mass = plan.mass_change
    if not mass.admitted:
        context.log.error(mass.sentence)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": plan.rows,
            "plan_hash": plan.plan_hash,
            "actions": markdown_table(
                ["action", "reason", "customers"], [[*one, customers] for one, customers in plan.actions.items()]
            ),
            "sample": markdown_table(
                ["customer", "record", "action", "reason", "changes"],
                [
                    [one.customer_key, one.record_id, one.action, one.reason, "<br>".join(one.changes)]
                    for one in plan.sample
                ],
            ),
            "forecast": str(plan.forecast),
            "turning_to_none": turning,
            "requests": plan.requests,
            **_told_of(authors),
            "changes_sent_meanwhile": lane.changes_sent,
            "customers": plan.customers,
            "records_read": plan.records,
            **{f"to_{action}": count for action, count in plan.by_action.items()},
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="no_mass_change",
                passed=mass.admitted,
                description=mass.sentence,
                metadata={"turning_to_none": mass.turning, "with_a_wallet": mass.of, "share": mass.share},
            )
        ],
    )


def _told_of(authors: Authors | None) -> dict[str, int]:
    """Return what was found out about drift, in figures. Reasons to stop are told in the log."""
    if authors is None:
        return {}
    if authors.stopped:
        dg.get_dagster_logger().warning("%s The next run asks again who caused the drift.", authors.stopped)
    return {
        "drift_named": authors.named,
        "drift_unknown": authors.asked - authors.named,
        "history_requests": authors.requests,
    }


def _left_to_another_run() -> dg.MaterializeResult:
    """Say that no plan was made, and by whom the changes are sent."""
    dg.get_dagster_logger().info(_LEFT)
    verdict = dg.AssetCheckResult(check_name="no_mass_change", passed=True, description=f"No plan was made. {_LEFT}")
    return dg.MaterializeResult(metadata={"left_to_another_run": True}, check_results=[verdict])


def _scope(config: Extent) -> Scope:
    return "changes" if config.changes_only else "all"


def _wait_until_settled(pipeline: Pipeline, rules: PlanRules) -> None:
    """Let the newest changes come to rest, with the warehouse closed, so that this run sends them and not the next."""
    with pipeline.open_warehouse() as con:
        seconds = seconds_until_settled(con, rules, now())
    if seconds > 0:
        dg.get_dagster_logger().info("waiting %.0f s until the newest changes have settled", seconds)
        time.sleep(seconds)


@dg.asset(
    group_name="sync",
    kinds={"python", "hubspot"},
    deps=["crm_plan", "customer_wallet_status"],
    description="The CRM's contacts after the sync. " + description("crm.deliveries"),
    metadata=definition_metadata("crm.deliveries"),
    freshness_policy=DAILY,
)
def crm_contacts(context: dg.AssetExecutionContext, config: Extent, pipeline: Pipeline) -> dg.MaterializeResult:
    """Write the planned changes, read each back, and book what the CRM then holds."""
    with explained():
        settings = pipeline.settings()
        with connect(settings) as destination:
            rules = PlanRules.from_settings(settings)
            lane = Lane(pipeline.open_warehouse, destination, settings.staging_dir, rules, now)
            result = lane.deliver(_scope(config))
        if result is None:
            context.log.info(_LEFT)
            return dg.MaterializeResult(metadata={"left_to_another_run": True})
        with pipeline.open_warehouse() as con:
            rejections = _of_rejections(sum_up_rejections(con, by_message=True))
        failed = result.unverified + result.rejected + result.conflict + result.unknown
        if failed:
            context.log.warning("%d contacts do not hold the truth yet: crm_rejections says why and what to do", failed)
        elif result.written == 0 and result.left == 0:
            context.log.info(_NOTHING_WRITTEN[_scope(config)])
        if result.stopped:
            context.log.warning("%s %d customers stay planned for the next run.", result.stopped, result.left)
    counts = {name: value for name, value in vars(result).items() if value is not None}
    counts["changes_sent_meanwhile"] = lane.changes_sent
    return dg.MaterializeResult(metadata={"dagster/row_count": result.written, "crm_rejections": rejections, **counts})


def _of_rejections(rejections: list[Rejections]) -> dg.MarkdownMetadataValue:
    return markdown_table(
        ["error_class", "message", "next_step", "customers", "oldest", "most_attempts"],
        [
            [one.error_class, one.message, one.next_step, one.customers, one.first_at.date(), one.attempts]
            for one in rejections
        ],
    )
