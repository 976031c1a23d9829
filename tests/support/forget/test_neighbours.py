"""Others whose identifiers have the person's in them keep what is theirs."""

from pathlib import Path

import pytest

from tests.collect.deliveries import receive

from .conftest import Installation, given_to, listed, told

# Of whom one is forgotten, and whose names have the other's in them.
PAIRS = {
    "an apostrophe before the e-mail": ({"email": "neill@x.test"}, {"email": "o'neill@x.test"}),
    "a slash after the number": ({"customerId": "A12345"}, {"customerId": "A12345/2"}),
    "a blank after the number": ({"customerId": "A12345"}, {"customerId": "A12345 B"}),
    "a short number": ({"customerId": "A1"}, {"customerId": "A1:2", "email": "b@x.test"}),
    "a mark over the last letter": ({"customerId": "jose7x"}, {"customerId": "jose7q\u0323x\u0323"}),
    "a number as somebody's e-mail": ({"customerId": "neill-7"}, {"email": "neill-7@x.test"}),
    "words of the pipeline": (
        {"customerId": "installed", "found": "google", "since": "2026-01-01", "tier": "loyalty"},
        {"customerId": "K-ben"},
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_whose_name_has_the_persons_in_it_keeps_everything(tmp_path: Path, pair: tuple[dict[str, str], ...]) -> None:
    """Another customer's rows are as they were, in every table, and a derivation from the evidence finds the same."""
    home = Installation(tmp_path, given_to("http://127.0.0.1:9"))
    hers, others = pair
    home.list_passes(1, [listed("her-pass", **hers), listed("other-pass", **others)])
    receive(home.settings.inbox_file, [told(1, "her-pass", **hers), told(2, "other-pass", **others)])
    home.derive()
    queries = [
        "SELECT * FROM raw.passes WHERE pass_id = 'other-pass'",
        "SELECT * FROM raw.wallet_events WHERE pass_id = 'other-pass'",
        "SELECT * FROM wallet.pass_identifiers WHERE pass_id = 'other-pass' ORDER BY ALL",
        "SELECT * FROM wallet.pass_customers WHERE pass_id = 'other-pass'",
        "SELECT * FROM wallet.customer_wallet_status ORDER BY ALL",
        "SELECT * FROM wallet.customer_status_changes ORDER BY ALL",
    ]
    before = [[row for row in home.rows(query) if row[0] != _key(hers)] for query in queries]
    home.forgetting().remove(_key(hers), clear_crm=False)
    assert [home.rows(query) for query in queries] == before
    home.derive()
    assert [home.rows(query) for query in queries] == before


def _key(identifiers: dict[str, str]) -> str:
    name, value = next(iter(identifiers.items()))
    return f"{name}={value}"
