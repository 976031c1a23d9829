"""How the list of customers whose truth the CRM does not hold is summed up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wallet_pipeline.sync.rejections import Rejections, sum_up_rejections
from wallet_pipeline.warehouse.connection import connect

FIRST, LATER = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by_message", "groups"),
    [
        (False, [("data", None, 3, FIRST, 4), ("config", None, 1, LATER, 1)]),
        (True, [("data", "bad", 2, LATER, 4), ("config", "bad", 1, LATER, 1), ("data", "worse", 1, FIRST, 2)]),
    ],
)
def test_rejections_by_what_is_to_be_done(
    tmp_path: Path, *, by_message: bool, groups: list[tuple[object, ...]]
) -> None:
    """Customers count together by class and next step, or by message too, with the first time and most attempts."""
    with connect(tmp_path / "warehouse.duckdb", wait=0) as con:
        con.execute(
            "INSERT INTO crm.rejections (customer_key, error_class, message, next_step, first_at, attempts) VALUES"
            " ('customerId=1', 'data', 'bad', 'Mend it.', '2026-11-22', 1),"
            " ('customerId=2', 'data', 'bad', 'Mend it.', '2026-11-22', 4),"
            " ('customerId=3', 'data', 'worse', 'Mend it.', '2026-11-20', 2),"
            " ('customerId=4', 'config', 'bad', 'Mend it.', '2026-11-22', 1)"
        )
        assert sum_up_rejections(con, by_message=by_message) == [
            Rejections(error_class, message, "Mend it.", *rest) for error_class, message, *rest in groups
        ]
