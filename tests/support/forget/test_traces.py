"""A person is recognized in any text that names them, and nobody else is taken for them."""

import json
import unicodedata

import pytest

from wallet_pipeline.support.forget.person import Identifier, Person
from wallet_pipeline.support.forget.traces import Traces


def traces(*pass_ids: str, records: tuple[str, ...] = (), **identifiers: str) -> Traces:
    """Return how somebody with these passes and identifiers is recognized."""
    theirs = tuple(Identifier(name, value, value, keys_customers=True) for name, value in identifiers.items())
    return Traces(Person(None, pass_ids, (), theirs, records), ["passId"])


ANNA = traces("pass-0001", "p7", records=("30000000012",), customerId="1042", email="anna@x.test", accountId="K/É-77x")


@pytest.mark.parametrize(
    "body",
    [
        {"passId": "pass-0001"},
        {"any": ["where", "pass-0001"]},
        {"customerId": "1042"},
        {"customerId": 1042},
        {"customerId": " 1042 "},
        {"text": 'inside: {"customerId": "1042"}'},
        {"text": json.dumps({"customerId": 1042, "text": json.dumps({"email": "anna@x.test"})})},
        {"passId": "p7"},
        {"mail": "ANNA@x.Test"},
        {"mail": "write to anna@x.test."},
        {"key": "email=anna@x.test"},
        {"account": "K/É-77x"},
        {"account": unicodedata.normalize("NFD", "K/É-77x")},
    ],
)
def test_body_that_names_the_person_is_recognized(body: dict[str, object]) -> None:
    """A member of the right name will do for short values; distinctive ones are found wherever they stand."""
    for text in (json.dumps(body), json.dumps(body, ensure_ascii=False), json.dumps(body).replace("@", "\\u0040")):
        assert ANNA.is_in(text.encode())
    assert ANNA.is_in(json.dumps(body).encode("utf-16"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"passId": "pass-00011"}',
        b'{"passId": "my-pass-0001"}',
        b'{"count": 1042, "customerId": 10421}',
        b'{"customerId": "1042.5"}',
        b'{"customerId": "41042"}',
        b'{"note": "p7"}',
        b'{"mail": "joanna@x.test"}',
        b'{"mail": "anna@x.tests"}',
        b'{"mail": "anna@x.test.org"}',
        b'{"contact": "30000000012"}',
        "K/È-77x".encode(),
        b'{"mail": "o\'anna@x.test"}',
        b'{"id": "pass-0001@x.test"}',
        b'{"device": "google", "timestamp": "2026-01-01 09:00:00"}',
        b"\xff\xfe\xff",
    ],
)
def test_body_about_somebody_else_is_not(body: bytes) -> None:
    """Parts of longer words, short values anywhere, and ids of contacts are no trace."""
    assert not ANNA.is_in(body)


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("customerId=1042 | 30000000012 | hold", "*************** | 99999999999 | hold"),
        ("1042 contacts, customerId=10421", "1042 contacts, customerId=10421"),
        (r"{\"md\": \"|\\n|anna@x.test |\"}", r"{\"md\": \"|\\n|*********** |\"}"),
        (json.dumps("accountId=K/É-77x"), '"' + "*" * len(json.dumps("accountId=K/É-77x")[1:-1]) + '"'),
    ],
)
def test_line_of_a_log_keeps_its_length_and_its_form(line: str, redacted: str) -> None:
    """Asterisks, or nines for a number, stand where a trace stood."""
    assert ANNA.redact(line) == redacted
    assert len(ANNA.redact(f"é {line}").encode()) == len(f"é {line}".encode())


def test_words_that_others_use_are_traces_under_their_name_alone() -> None:
    """A value that is a word of the services, or a day, is looked for as the member that it was; the key is enough."""
    theirs = [("customerId", "installed", True), ("found", "google", False), ("since", "2026-01-01", False)]
    one = Traces(Person(None, (), (), tuple(Identifier(name, text, text, keys) for name, text, keys in theirs)), [])
    line = '2026-01-01 09:00:00 {"kind": "installed", "wallet": "google"}'
    assert not one.is_in(line.encode())
    assert one.redact(f"{line} customerId=installed") == f"{line} {'*' * 20}"
    assert one.is_in(b'{"found": "google"}')
    assert one.is_in(b'{"since": "2026-01-01"}')


def test_nobody_is_found_nowhere() -> None:
    """Of somebody with no distinctive name nothing is recognized, whatever is asked."""
    nobody = traces("7")
    assert not nobody.is_in(b'{"n": 7}')
    assert nobody.redact("7 passes") == "7 passes"
