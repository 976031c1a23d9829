"""Passes with their registers and all evidence, as the SQL of the rules orders and marks it."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import duckdb

from wallet_pipeline.derive.statuses import StatusRules, weighed_evidence
from wallet_pipeline.support.explain.explanation import Evidence, NotCounted, Pass, Register
from wallet_pipeline.support.explain.queries import query, rows
from wallet_pipeline.support.explain.words import (
    RULES,
    WALLETS,
    roles,
    why_list_says_nothing,
    why_no_evidence,
    why_there,
)

_ByPass = Mapping[str, list[dict[str, Any]]]


def explain_passes(con: duckdb.DuckDBPyConnection, rules: StatusRules) -> list[Pass]:
    """Return the passes in the table explained_passes of a small warehouse."""
    with weighed_evidence(con, rules):
        registers, evidence, events, lists = (
            _by_pass(con, name) for name in ("registers", "evidence", "events_not_counted", "lists_not_counted")
        )
    return [
        Pass(
            pass_id=row["pass_id"],
            pass_type=row["pass_type"],
            created_at=row["created_at"],
            identifiers=json.loads(row["identifiers"]),
            resolution=row["resolution"],
            customer_key=row["customer_key"],
            reason=why_there(row, rules.identifier_order),
            registers=[_register(one, evidence[row["pass_id"]]) for one in registers[row["pass_id"]]],
            not_counted=[_event_not_counted(one) for one in events[row["pass_id"]]]
            + [_lists_not_counted(one) for one in lists[row["pass_id"]]],
        )
        for row in rows(con, query("passes"))
    ]


def _by_pass(con: duckdb.DuckDBPyConnection, name: str) -> _ByPass:
    found = defaultdict(list)
    for row in rows(con, query(name)):
        found[row["pass_id"]].append(row)
    return found


def _register(row: Mapping[str, Any], evidence: list[dict[str, Any]]) -> Register:
    columns = ("wallet", "installed", "installed_at", "changed_at", "last_event", "changed_at_inferred", "rule")
    return Register(
        **{column: row[column] for column in columns},
        reason=RULES[row["rule"]],
        evidence=[_evidence(one, row["rule"]) for one in evidence if one["wallet"] == row["wallet"]],
    )


def _evidence(row: Mapping[str, Any], rule: str) -> Evidence:
    columns = ("kind", "first_at", "last_at", "first_id", "last_id", "installed_at", "given_at", "received_at")
    says = {"event": "uninstalled", "list": "listed, not installed", "missing": "not in the list any more"}
    return Evidence(
        **{column: row[column] for column in columns},
        says="installed" if row["installed"] else says[row["kind"]],
        role=roles(row, rule),
    )


def _event_not_counted(row: Mapping[str, Any]) -> NotCounted:
    wallet = WALLETS.get(row["wallet"], row["wallet"])
    what = f"event {row['event_id']}: {row['kind']} in {wallet}"
    return NotCounted(what, row["occurred_at"], row["occurred_at"], why_no_evidence(row["reason"]))


def _lists_not_counted(row: Mapping[str, Any]) -> NotCounted:
    what = "a list of passes" if row["lists"] == 1 else f"{row['lists']} lists of passes"
    return NotCounted(what, row["first_at"], row["last_at"], why_list_says_nothing(row["reason"], row["lists"]))
