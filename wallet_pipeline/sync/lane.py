"""The lane to the CRM: one run at a time has it, and lets changes that are due pass before it goes on with its own."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from wallet_pipeline.sync.changes import count_changes
from wallet_pipeline.sync.destination import Destination, Scope
from wallet_pipeline.sync.drift_authors import Authors, name_authors
from wallet_pipeline.sync.plan import PlanRules, make_plan
from wallet_pipeline.sync.plan_summary import PlanResult
from wallet_pipeline.sync.write import DeliveryResult, deliver
from wallet_pipeline.warehouse.connection import OpenWarehouse
from wallet_pipeline.warehouse.staging import one_at_a_time, unless_taken

log = logging.getLogger(__name__)


class Lane:
    """A run's way to the CRM of one account. A run of all customers waits for it; a run of changes does not.

    When it is taken, the run that has it sends the changes: within seconds, between two pages of what it reads or two
    waves of what it writes.
    """

    def __init__(
        self,
        open_warehouse: OpenWarehouse,
        destination: Destination,
        work_dir: Path,
        rules: PlanRules,
        clock: Callable[[], datetime],
    ) -> None:
        self._open_warehouse = open_warehouse
        self._destination = destination
        self._work_dir = work_dir
        self._rules = rules
        self._clock = clock
        self._lets_pass = True
        self.changes_sent = 0

    def plan(self, scope: Scope, approved: str = "") -> PlanResult | None:
        """Make a plan, as `make_plan` does; None when changes were left to the run that has the lane."""
        with self._taken(scope) as is_ours:
            return self._plan(scope, approved) if is_ours else None

    def name_authors(self, scope: Scope) -> Authors | None:
        """Find out who caused the drift, as `name_authors` does; None when that was left to the run with the lane."""
        with self._taken(scope) as is_ours:
            if not is_ours:
                return None
            between = self._let_changes_pass if scope == "all" else None
            return name_authors(self._open_warehouse, self._destination, self._rules.tolerance, self._clock(), between)

    def deliver(self, scope: Scope) -> DeliveryResult | None:
        """Send the newest plan, as `deliver` does; None when changes were left to the run that has the lane."""
        with self._taken(scope) as is_ours:
            return self._deliver(scope) if is_ours else None

    @contextmanager
    def _taken(self, scope: Scope) -> Iterator[bool]:
        if scope == "all":
            with one_at_a_time(self._work_dir, "crm"):
                yield True
        else:
            with unless_taken(self._work_dir, "crm") as is_ours:
                yield is_ours

    def _plan(self, scope: Scope, approved: str = "") -> PlanResult:
        return make_plan(
            self._open_warehouse, self._destination, self._work_dir, self._rules, self._clock(), scope, approved,
            self._between(scope),
        )  # fmt: skip

    def _deliver(self, scope: Scope) -> DeliveryResult:
        return deliver(self._open_warehouse, self._destination, self._rules, self._clock, scope, self._between(scope))

    def _between(self, scope: Scope) -> Callable[[], None]:
        return self._let_changes_pass if scope == "all" else lambda: None

    def _let_changes_pass(self) -> None:
        """Send what events have changed and what has come to rest. A stopped plan of changes is told once."""
        if not self._lets_pass:
            return
        with self._open_warehouse() as con:
            due = count_changes(con, self._rules, self._clock()).due
        if due:
            plan = self._plan("changes")
            self._lets_pass = plan.mass_change.admitted
            if self._lets_pass:
                sent = self._deliver("changes").verified
                self.changes_sent += sent
                log.info("%d of %d changed customers were sent in between", sent, due)
            else:
                log.warning("%s", plan.mass_change.sentence)
