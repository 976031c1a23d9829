"""The verdict on a plan that takes the wallet from many customers at once."""

from dataclasses import dataclass

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sync.destination import Scope

_SUBJECTS: dict[Scope, str] = {
    "all": "The plan turns",
    "changes": "Events since the last daily plan turn",
}
_NEXT_STEPS: dict[Scope, str] = {
    "all": "approve just this plan: wallet-pipeline run --approve-plan {plan_hash}",
    "changes": "start the daily run (wallet-pipeline run): it plans all customers, and says how to approve that.",
}


class StoppedPlanError(ExplainedError):
    """The plan is not admitted, and nothing was written; the message says why, and how to approve it."""


@dataclass(frozen=True)
class MassChange:
    """How many of the customers who have a wallet in the CRM a plan turns to `none`, and whether it may be sent."""

    turning: int
    of: int
    share: float
    admitted: bool
    sentence: str


def judge(
    turning: int, of: int, max_share: float, max_customers: int, scope: Scope, plan_hash: str, approved: str
) -> MassChange:
    """Compare a plan with both limits; beyond them only the approval of just this plan, by its hash, admits it."""
    share = turning / of if of else 0.0
    admitted = turning <= max_customers or share <= max_share or approved == plan_hash
    sentence = (
        f"{_SUBJECTS[scope]} {turning} of {of} customers with a wallet in the CRM to none ({share:.1%}); allowed are"
        f" {max_share:.0%} or {max_customers} customers."
    )
    if not admitted:
        if approved:
            sentence += " The approval is for another plan: it was mistyped, or wallets or CRM have changed since."
        sentence += (
            " Nothing is written to the CRM. The run's metadata of crm_plan show whom it concerns; if that is right,"
            f" {_NEXT_STEPS[scope]}"
        ).format(plan_hash=plan_hash)
    return MassChange(turning, of, share, admitted, sentence)
