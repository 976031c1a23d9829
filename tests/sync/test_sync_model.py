"""Whatever customers, people in the CRM, the network and crashes do: in the end the CRM holds the truth.

Or a list says why not. SYNC_MODEL_EXAMPLES sets how many courses of events are tried, SYNC_MODEL_STEPS their length.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.sync.conftest import SYNC_TOKEN, Account, Pipeline, open_account
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.sync.destination import FIELDS, Key, Receipt, Record, Scope, Version, Write
from wallet_pipeline.sync.hubspot import HubSpotDestination
from wallet_pipeline.sync.lane import Lane

_KEYS = ("customerId=C-1", "customerId=C-2", "customerId=C-3", "accountId=A-1", "accountId=A-2", "email=e1@x.test")
_EMAILS = ("e1@x.test", "e2@x.test", "e3@x.test", "e4@x.test", None)
_STATUSES = ("none", "apple", "google", "both")
_SWITCHES = (
    {"trace_multistatus": []},
    {"write_results": "empty", "trace_in_results": False},
    {"null_values": "missing", "datetime_out": "epoch_ms"},
    {"partial_status": "success", "num_errors": "wrong"},
    {"missing_in_errors": False},
    {"merge_style": "primary_id"},
    {"merge_fill": False},
    {"merged_update": "written"},
)
_FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "drop"},
    {"action": "drop_after"},
    {"action": "truncate"},
    {"action": "status", "status": 503, "html": True},
    {"action": "status", "status": 500},
    {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
    {"action": "status", "status": 429, "body": {"policyName": "DAILY", "message": "x"}},
    {"action": "status", "status": 401, "body": {"category": "INVALID_AUTHENTICATION", "message": "x"}},
    {"action": "replace", "status": 200, "body": {"status": "COMPLETE", "results": []}},
    {"action": "replace", "status": 200, "html": True},
)
_PATHS = ("batch/read", "batch/(update|upsert|create)", "batch/", "properties")


class Killed(BaseException):
    """The run dies here: nothing of it that comes later happens."""


class Mortal(HubSpotDestination):
    """A destination whose run dies at, or right after, the request with a given number."""

    lives: int | None = None

    def read(self, key: Key, values: Sequence[str]) -> dict[str, Record]:
        """Read, if alive."""
        self._age()
        return super().read(key, values)

    def read_history(self, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, list[Version]]]:
        """Read histories, if alive."""
        self._age()
        return super().read_history(record_ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Receipt]:
        """Write, if alive, and perhaps do not live to see the answer."""
        self._age()
        receipts = super().write(writes)
        self._age()
        return receipts

    def _age(self) -> None:
        if self.lives is not None:
            self.lives -= 1
            if self.lives <= 0:
                raise Killed


class SyncModel(RuleBasedStateMachine):
    """Customers, an account, and the sync between them."""

    templates: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        for file in self.templates.iterdir():
            shutil.copy(file, folder)
        self.account: Account = self.stack.enter_context(open_account(folder))
        self.account.switch(rate_limit=100_000)
        self.mortal = Mortal(self.account.client(SYNC_TOKEN, attempts=2), "customer_id")
        self.pipeline = Pipeline(folder, self.mortal)
        self.stack.callback(self.pipeline.close)
        self.openings: int | None = None
        self.bystander = self.account.add(email="bystander@x.test", wallet_status="google")

    def teardown(self) -> None:
        """Look whether all came right, and take everything down."""
        try:
            self.settle()
        finally:
            self.stack.close()

    @contextmanager
    def open_warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse, if the run still lives."""
        if self.openings is not None:
            self.openings -= 1
            if self.openings < 0:
                raise Killed
        with self.pipeline.open_warehouse() as con:
            yield con

    def run(self, scope: Scope) -> int | None:
        """Plan and send; return how many contacts were written, None when the run stopped or died."""
        self.pipeline.now += timedelta(minutes=20)
        lane = Lane(
            self.open_warehouse, self.mortal, self.pipeline.staging, self.pipeline.rules, lambda: self.pipeline.now
        )
        try:
            lane.plan(scope)
            lane.name_authors(scope)
            result = lane.deliver(scope)
        except (ExplainedError, Killed):
            return None
        assert result is not None
        return result.written

    # What customers do.

    @initialize()
    def begin(self) -> None:
        """Begin with two customers, one of whom the CRM knows."""
        self.account.add(email="e1@x.test", customer_id="C-1")
        self.change("customerId=C-1", "apple", "e1@x.test", by_event=False)
        self.change("customerId=C-2", "none", "e2@x.test", by_event=False)

    @rule(
        key=st.sampled_from(_KEYS),
        status=st.sampled_from(_STATUSES),
        email=st.sampled_from(_EMAILS),
        by_event=st.booleans(),
    )
    def change(self, key: str, status: str, email: str | None, *, by_event: bool) -> None:
        """Give a customer a state, perhaps by an event."""
        self.pipeline.now += timedelta(minutes=5)
        moment = self.pipeline.now - timedelta(minutes=3)
        fields: dict[str, Any] = {"wallet_status": status, "wallet_last_changed_at": moment}
        fields["wallet_last_event"] = "uninstalled" if status == "none" else "installed"
        for wallet in ("apple", "google"):
            if status in (wallet, "both"):
                fields[f"{wallet}_wallet_installed_at"] = moment
        email = key.partition("=")[2] if key.startswith("email=") else email
        if by_event:
            self.pipeline.event(key, fields, email)
        else:
            self.pipeline.customer(key, fields, email, moment)

    @rule(key=st.sampled_from(_KEYS), by_event=st.booleans())
    def leave(self, key: str, *, by_event: bool) -> None:
        """Let no pass resolve to a customer any more."""
        if by_event:
            self.pipeline.event(key, None)
        else:
            self.pipeline.remove_customer(key)

    # What others do in the CRM.

    def one_of(self, number: int) -> str | None:
        """Return one of the contacts, but never the bystander."""
        contacts = sorted(set(self.account.contacts()) - {self.bystander}, key=int)
        return contacts[number % len(contacts)] if contacts else None

    @rule(number=st.integers(0, 5), field=st.sampled_from((*FIELDS, "customer_id")), empty=st.booleans())
    def edit(self, number: int, field: str, *, empty: bool) -> None:
        """Edit a contact as a person would."""
        values = {"wallet_status": "both", "wallet_last_event": "uninstalled", "customer_id": "C-99"}
        record_id = self.one_of(number)
        value = "" if empty else values.get(field, "2020-01-01T00:00:00.000Z")
        if record_id and not (
            value == "C-99" and "C-99" in {c.get("customer_id") for c in self.account.contacts().values()}
        ):
            self.account.edit(record_id, **{field: value})

    @rule(email=st.sampled_from(("e2@x.test", "e3@x.test", "e4@x.test", "other@x.test")))
    def add(self, email: str) -> None:
        """Create a contact as a person would, unless there is one."""
        if email not in {contact.get("email") for contact in self.account.contacts().values()}:
            answer = self.account.api("POST", "/crm/objects/2026-09/contacts", {"properties": {"email": email}})
            assert answer.status_code in (201, 409)

    @rule(one=st.integers(0, 5), other=st.integers(0, 5))
    def merge(self, one: int, other: int) -> None:
        """Merge two contacts."""
        primary, secondary = self.one_of(one), self.one_of(other)
        if primary and secondary and primary != secondary:
            self.account.control("POST", "merge", {"primary": primary, "secondary": secondary})

    @rule(number=st.integers(0, 5))
    def archive(self, number: int) -> None:
        """Delete a contact."""
        if record_id := self.one_of(number):
            self.account.control("POST", f"archive/{record_id}")

    # What goes wrong.

    @rule(switch=st.sampled_from(_SWITCHES))
    def switch(self, switch: dict[str, Any]) -> None:
        """Let the CRM behave otherwise, within what is documented."""
        self.account.switch(**switch)

    @rule(fault=st.sampled_from(_FAULTS), path=st.sampled_from(_PATHS), times=st.integers(1, 3))
    def spoil(self, fault: dict[str, Any], path: str, times: int) -> None:
        """Let the next requests to a path fail."""
        self.account.spoil(path, **fault, times=times)

    @rule(scope=st.sampled_from(("all", "changes")))
    def run_now(self, scope: Scope) -> None:
        """Run."""
        self.run(scope)

    @rule(scope=st.sampled_from(("all", "changes")), lives=st.integers(1, 8))
    def die_at_a_request(self, scope: Scope, lives: int) -> None:
        """Run, and die before or after one of the requests."""
        self.mortal.lives = lives
        self.run(scope)
        self.mortal.lives = None

    @rule(scope=st.sampled_from(("all", "changes")), openings=st.integers(1, 5))
    def die_at_the_warehouse(self, scope: Scope, openings: int) -> None:
        """Run, and die when the warehouse is to be opened for a further time."""
        self.openings = openings
        self.run(scope)
        self.openings = None

    # What holds in the end.

    @rule()
    def settle(self) -> None:
        """After runs without faults the CRM agrees, or the lists say why not, and nothing is left to do."""
        self.account.control("DELETE", "faults")
        self.pipeline.now += timedelta(days=1)
        written = [self.run("all") for _ in range(4)]
        assert written[-1] == 0, f"the sync does not come to rest: {written}"
        assert self.pipeline.sql("SELECT 1 FROM crm.deliveries WHERE outcome = 'intended'") == []
        self.judge_drift()
        contacts = self.account.contacts()
        assert contacts[self.bystander]["wallet_status"] == "google"
        links = dict(self.pipeline.sql("SELECT customer_key, record_id FROM crm.links WHERE departed_at IS NULL"))
        held = self.pipeline.decisions()
        for key, email, *truth in self.pipeline.sql(
            f"SELECT customer_key, email, {', '.join(FIELDS)} FROM wallet.customer_wallet_status"
        ):
            agrees = links.get(key) in contacts and self.values(contacts[links[key]]) == truth
            if not agrees:
                assert held[key][0] == "hold", f"{key} is neither told nor held"
                assert self.is_complicated(key, email, links.get(key)), f"{key} is held for no reason: {held[key]}"
                assert self.pipeline.sql("SELECT 1 FROM crm.rejections WHERE customer_key = ?", [key])
            elif key in links:
                customer_id = contacts[links[key]].get("customer_id") or None
                assert customer_id in (None, key.partition("=")[2]) or not key.startswith("customerId=")

    def judge_drift(self) -> None:
        """Look whether each drift was asked for, and none of it was caused by ourselves."""
        blamed = {who for (who,) in self.pipeline.sql("SELECT DISTINCT changed_by FROM crm.drift")}
        assert blamed <= {"user 77", "merge", "unknown"}, f"drift is blamed on {blamed}"

    def values(self, contact: dict[str, str]) -> list[Any]:
        """Return what a contact holds, in the form of the table."""
        found: list[Any] = [contact.get(name) or None for name in FIELDS]
        for place in (1, 2, 3):
            if found[place]:
                found[place] = _moment(found[place])
        return found

    def is_complicated(self, key: str, email: str | None, record_id: str | None) -> bool:
        """Tell whether there is a reason not to tell the CRM of a customer, as far as its keys and records show."""
        contacts = self.account.contacts()
        rows = self.pipeline.sql("SELECT customer_key, email FROM wallet.customer_wallet_status")
        ids = {k.partition("=")[2] for k, _ in rows if k.startswith("customerId=")}
        is_shared = email is not None and [e for _, e in rows].count(email) > 1
        mine = key.partition("=")[2] if key.startswith("customerId=") else None
        theirs = [
            contact.get("customer_id") or None
            for other, contact in contacts.items()
            if other == record_id or (email is not None and email in _addresses(contact))
        ]
        carried = any(one is not None and one != mine for one in theirs) or any(one in ids - {mine} for one in theirs)
        links = [r for (r,) in self.pipeline.sql("SELECT record_id FROM crm.links WHERE departed_at IS NULL")]
        claimed = record_id is not None and links.count(record_id) > 1
        found = [o for o, contact in contacts.items() if email is not None and email in _addresses(contact)]
        claimed = claimed or any(one in links for one in found)
        return email is None or is_shared or carried or claimed


def _addresses(contact: dict[str, str]) -> set[str]:
    """Return all e-mail addresses of a contact."""
    also = (contact.get("hs_additional_emails") or "").split(";")
    return {one.strip().lower() for one in [contact.get("email") or "", *also] if one.strip()}


def _moment(text: str) -> Any:
    return datetime.fromisoformat(text).replace(tzinfo=None)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_the_crm_agrees_after_any_course_of_events(templates: Path) -> None:
    """Truth changes, foreign edits, merges, faults and crashes in any order: after a run without faults truth = CRM."""
    SyncModel.templates = templates
    run_state_machine_as_test(
        SyncModel,
        settings=settings(
            max_examples=int(os.environ.get("SYNC_MODEL_EXAMPLES", "5")),
            stateful_step_count=int(os.environ.get("SYNC_MODEL_STEPS", "10")),
            deadline=None,
            derandomize="SYNC_MODEL_EXAMPLES" not in os.environ,
        ),
    )
