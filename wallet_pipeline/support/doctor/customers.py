"""What the warehouse says of customers: whom nothing matches, who is disputed, and of whom the CRM is not told."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import duckdb

from wallet_pipeline.collect.pass_snapshot import LATE_AFTER
from wallet_pipeline.support.doctor.finding import Check, Finding, ok, problem, warning
from wallet_pipeline.support.doctor.installation import Installation
from wallet_pipeline.support.doctor.queries import query
from wallet_pipeline.support.doctor.words import age, many
from wallet_pipeline.sync.fights import sum_up_fights
from wallet_pipeline.sync.rejections import sum_up_rejections
from wallet_pipeline.warehouse.queries import one_row

# Classes of errors that pass without anybody's doing.
_PASSING = frozenset({"transient", "quota"})
_LONGEST_NAME = 60


def customer_checks(con: duckdb.DuckDBPyConnection, installation: Installation) -> dict[str, Check]:
    """Return the checks of passes without a customer and of customers without a contact that holds their truth."""
    return {
        "rejections": partial(_rejections, con, installation.clock()),
        "fights": partial(_fights, con, installation.clock()),
        "unmatched passes": partial(_unmatched, con, installation),
        "identity conflicts": partial(_conflicts, con),
        "erasures": partial(_erasures, con),
    }


def _rejections(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    rejections = sum_up_rejections(con, by_message=False)
    for one in rejections:
        old = now - one.first_at
        whose = f"Of {many(one.customers, 'customer')} the CRM does not hold the truth ({one.error_class})"
        text = f"{whose}, of the first for {age(old)}, met by up to {many(one.attempts, 'run')}."
        if one.error_class in _PASSING and old <= LATE_AFTER:
            yield ok(f"{text} {one.next_step}")
        else:
            tell = problem if one.error_class == "config" else warning
            yield tell(text, f"{one.next_step} The table crm_rejections lists them.")
    if not rejections:
        yield ok("No customer stands in crm_rejections: the CRM was told of everybody.")


def _erasures(con: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    begun, unfinished = one_row(con, "SELECT count(*), count(*) FILTER (finished_at IS NULL) FROM raw.erasures")
    if not unfinished:
        yield ok(f"Of {many(begun, 'erasure')} none was broken off.")
        return
    yield warning(
        f"{many(unfinished, 'erasure')} of {begun} was broken off: the rows are gone, but their bytes may not be.",
        "Call `wallet-pipeline forget` for the same person again, even if nobody is known by that name any more.",
    )


def _fights(con: duckdb.DuckDBPyConnection, now: datetime) -> Iterator[Finding]:
    fights = sum_up_fights(con, now)
    yield warning(str(fights)) if fights.fields else ok(str(fights))


def _unmatched(con: duckdb.DuckDBPyConnection, installation: Installation) -> Iterator[Finding]:
    order = installation.settings.identifier_order
    passes, unmatched, bare = one_row(
        con,
        "SELECT (SELECT count(*) FROM wallet.pass_customers), count(*),"
        " count(*) FILTER (identifiers IS NULL OR identifiers = '{}') FROM wallet.unmatched_passes",
    )
    if not unmatched:
        yield ok("Every pass has a customer.")
        return
    borne = con.execute(query("unmatched_identifiers")).fetchall()
    # Such a name, with a value, in a pass without a customer: it is not in the order.
    others = [name for name, usable, _ in borne if usable]
    share = f"{unmatched} of {many(passes, 'pass', 'passes')} ({unmatched / passes:.1%})"
    text = f"In no customer: {share}. Of these {_tell(borne, bare)}."
    is_misspelled = bool({name.lower() for name in others} & {name.lower() for name in order})
    if unmatched <= installation.settings.max_unmatched_share * passes and not is_misspelled:
        yield replace(ok(text), next_step=_hint(others, order) if others else None)
    else:
        yield warning(text, _hint(others, order))


def _tell(borne: Iterable[tuple[str, int, int]], bare: int) -> str:
    """Say which identifiers the passes bear, and how many passes which."""
    parts = [f"{bare} bear no identifier"] if bare else []
    for name, usable, unusable in borne:
        parts += [f"{usable} bear {_shown(name)}"] if usable else []
        parts += [f"{unusable} bear {_shown(name)} without a usable value"] if unusable else []
    return "; ".join(parts)


def _hint(others: Sequence[str], order: Sequence[str]) -> str:
    if not others:
        return f"Give these passes one of {', '.join(order)}; if that is normal here, raise MAX_UNMATCHED_SHARE."
    names = " or ".join(_shown(name) for name in others)
    return f"If {names} names a customer, add it to IDENTIFIER_ORDER, spelled just so, and run again."


def _shown(name: str) -> str:
    """Return a name as it can be printed: it is the tenant's own, of any length and with any characters."""
    return f"`{''.join(char if char.isprintable() else '?' for char in name)[:_LONGEST_NAME]}`"


def _conflicts(con: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    passes, values, names = one_row(
        con,
        "SELECT count(*) FILTER (kind = 'conflict'), count(*) FILTER (kind = 'shared'),"
        " coalesce(string_agg(DISTINCT identifier_name, ', ' ORDER BY identifier_name), '')"
        " FROM wallet.identity_conflicts",
    )
    if not passes and not values:
        yield ok("No identifier is borne by two customers.")
        return
    text = f"Several customers bear the same value of {names}: {many(values, 'such value')}"
    if passes:
        yield warning(
            f"{text}, and {many(passes, 'pass', 'passes')} in no customer because of it.",
            "The table identity_conflicts lists them: correct the identifiers of these passes.",
        )
    else:
        yield ok(f"{text}. The customers are kept apart, and by such an e-mail no contact is looked for.")
