"""The queries of the analysts' page give the right answers, not just any."""

import re
from pathlib import Path

import pytest

from tests.conftest import Data

from .conftest import publish_now, read

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "analysts.md").read_text()
# Ann has two passes, one of which she removed and took back; Ben removed his only one; Cleo never installed hers; the
# last pass is nobody's.
HISTORY = """
INSERT INTO wallet.pass_customers (pass_id, pass_type, created_at, resolution, customer_key) VALUES
    ('ann-1', 'loyalty', '2026-01-01', 'customer', 'customerId=ann'),
    ('ann-2', 'offer', '2026-02-01', 'customer', 'customerId=ann'),
    ('ben-1', 'loyalty', '2026-01-01', 'customer', 'customerId=ben'),
    ('cleo-1', 'loyalty', '2026-01-01', 'customer', 'customerId=cleo'),
    ('stray', 'offer', '2026-02-01', 'unmatched', NULL);
INSERT INTO wallet.registers (pass_id, wallet, installed) VALUES
    ('ann-1', 'apple', TRUE), ('ann-1', 'google', FALSE), ('ann-2', 'apple', TRUE), ('ben-1', 'google', FALSE),
    ('cleo-1', 'apple', FALSE), ('stray', 'google', TRUE);
INSERT INTO wallet.customer_wallet_status
    (customer_key, email, wallet_status, wallet_last_event, wallet_last_changed_at) VALUES
    ('customerId=ann', 'ann@x.test', 'apple', 'installed', '2026-01-20'),
    ('customerId=ben', 'ben@x.test', 'none', 'uninstalled', '2026-01-05'),
    ('customerId=cleo', NULL, 'none', NULL, NULL);
INSERT INTO adoption.installations (pass_id, wallet, number, created_at, installed_at, uninstalled_at) VALUES
    ('ann-1', 'apple', 1, '2026-01-01', '2026-01-01 06:30', '2026-01-10 12:00'),
    ('ann-1', 'apple', 2, '2026-01-01', '2026-01-20 12:00', NULL),
    ('ann-2', 'apple', 1, '2026-02-01', '2026-02-01 01:30', NULL),
    ('ben-1', 'google', 1, '2026-01-01', '2026-01-03 00:00', '2026-01-05'),
    ('stray', 'google', 1, '2026-02-01', '2026-02-02', NULL);
INSERT INTO adoption.adoption_daily (day, pass_type, wallet, installs, uninstalls, installed_passes) VALUES
    ('2026-01-05', 'loyalty', 'google', 0, 1, 0), ('2026-01-05', 'offer', 'google', 2, 0, 2),
    ('2026-01-05', 'loyalty', 'apple', 1, 0, 1);
INSERT INTO adoption.adoption_by_source VALUES
    ('2026-01-01', 'loyalty', 'apple', 'email/shop.example', 2, 1),
    ('2026-01-01', 'loyalty', 'google', 'unknown', 1, 0),
    ('2026-02-01', 'offer', 'apple', 'email/shop.example', 1, 1);
INSERT INTO adoption.status_daily VALUES ('2026-01-05', 'none', 2), ('2026-01-05', 'apple', 1);
INSERT INTO adoption.adoption_cohorts
    (created_month, pass_type, wallet, months_since, passes, installed_passes, retained_passes, retained_share) VALUES
    ('2026-01-01', 'loyalty', 'apple', 0, 3, 1, 0, 0.0), ('2026-01-01', 'loyalty', 'apple', 1, 3, 1, 1, 0.333),
    ('2026-02-01', 'offer', 'any', 0, 2, 2, 2, 1.0);
"""
ANSWERS = {
    "How many passes and customers are installed, and where?": ["apple 2 1", "google 1 0"],
    "Passes over time": ["2026-01-05 apple 1 1 0", "2026-01-05 google 2 2 1"],
    "Customers over time": ["2026-01-05 none 2", "2026-01-05 apple 1"],
    "Who adopted after creation, and how fast?": [
        "customerId=ben 2026-01-03 00:00:00 48.0",
        "customerId=ann 2026-01-01 06:30:00 6.5",
    ],
    "Who left, and has no wallet any more?": ["customerId=ben ben@x.test 2026-01-05 00:00:00"],
    "Who came back, and after how many days?": [
        "customerId=ann ann-1 apple 2026-01-10 12:00:00 2026-01-20 12:00:00 10",
    ],
    "By pass type, wallet and month of creation": [
        "loyalty apple 2026-01-01 3 1 1 0.333",
        "offer any 2026-02-01 2 2 2 1.0",
    ],
    "By acquisition source, where an event told it": ["email/shop.example 3 2", "unknown 1 0"],
}


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """Publish a short history of three customers."""
    data = Data(tmp_path_factory.mktemp("answered") / "data", template)
    data.rows(HISTORY)
    return publish_now(data, data.folder / "wallet_bi.duckdb").file


@pytest.mark.parametrize("question", ANSWERS)
def test_question_is_answered_by_its_query(answered: Path, question: str) -> None:
    """The query below each question of the page, run on a history that is known, says what is so."""
    _, _, after = PAGE.partition(f"\n{question}")
    query = re.search(r"```sql\n(.*?)```", after, re.DOTALL)
    assert query is not None
    rows = [" ".join(map(str, row)) for row in read(answered, query[1])]
    assert (rows if "ORDER BY" in query[1] else sorted(rows)) == ANSWERS[question]
