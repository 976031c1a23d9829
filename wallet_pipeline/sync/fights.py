"""Fights: fields that somebody in the CRM and this pipeline overwrite again and again, and who they are."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from wallet_pipeline.sync.queries import query
from wallet_pipeline.warehouse.connection import naive
from wallet_pipeline.warehouse.queries import one_row

_GOES_ON = timedelta(days=7)
_ADVICE = (
    " crm_fights lists each. Take the wallet fields out of the other side's workflow, import or app, or let whoever"
    " wants another value correct the source; docs/crm-sync.md, Fights, says how to find them."
)
_SAME_SIDES = " Where both sides are one app, look for a second pipeline, or another program, with the same token."


@dataclass(frozen=True)
class Parties:
    """Who overwrites whom, in which field, and for how many customers."""

    field: str
    ours: str
    theirs: str
    customers: int

    def __str__(self) -> str:
        return f"{self.field}, {self.theirs} against {self.ours} ({self.customers})"


@dataclass(frozen=True)
class Fights:
    """The fields in a fight that still goes on, and the parties of most of them."""

    fields: int
    customers: int
    parties: list[Parties]

    def __str__(self) -> str:
        if not self.fields:
            return "Nobody keeps overwriting in the CRM what the pipeline writes."
        same_sides = any(one.ours == one.theirs for one in self.parties)
        return (
            f"{self.fields} fields of {self.customers} customers had to be put right three times or more in seven days:"
            f" {'; '.join(map(str, self.parties))}.{_SAME_SIDES if same_sides else ''}{_ADVICE}"
        )


def sum_up_fights(con: duckdb.DuckDBPyConnection, now: datetime) -> Fights:
    """Return the fights whose last repair is not longer ago than seven days. `now` is aware."""
    since = {"since": naive(now - _GOES_ON)}
    fields, customers = one_row(
        con, "SELECT count(*), count(DISTINCT customer_key) FROM crm.fights WHERE last_repaired_at > $since", since
    )
    parties = con.execute(query("fight_parties"), since).fetchall()
    return Fights(fields, customers, [Parties(*one) for one in parties])
