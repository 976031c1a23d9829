"""The text: the right reasons in the right words, for now and for any moment before."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Script
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.support.customers import SeveralCustomersError, UnknownCustomerError
from wallet_pipeline.support.explain.asking import explain
from wallet_pipeline.support.explain.text import as_text
from wallet_pipeline.warehouse.connection import WarehouseError

from .conftest import EXPLAIN_RULES, NOW, ask, at, made

EXPLAINED = Path(__file__).parent / "explained"


def test_all_that_happened_is_told(of_ann: Path) -> None:
    """Evidence in order, what decided, what did not count, each value, the CRM, and the whole course of events."""
    text = as_text(ask(of_ann, "customerId=1042"))
    assert text == (EXPLAINED / "ann.txt").read_text().rstrip("\n")


@pytest.mark.parametrize("asked", ["ann@X.test", "a-2", "501"])
def test_every_way_to_ask_tells_the_same(of_ann: Path, asked: str) -> None:
    """An e-mail, a pass and a CRM record lead to the customer as the key does."""
    assert ask(of_ann, asked).customer == ask(of_ann, "customerId=1042").customer


def test_earlier_moment_shows_what_was_known_then(of_ann: Path) -> None:
    """What arrived, was derived, sent or put right later is not there yet; it is told as if it were that moment."""
    text = as_text(ask(of_ann, "customerId=1042", at("05 18:25")))
    assert text == (EXPLAINED / "ann-before.txt").read_text().rstrip("\n")


@pytest.mark.parametrize(
    ("asked", "sentences"),
    [
        ("u-1", ["It belongs to no customer: it bears none of customerId, accountId or email."]),
        ("c-3", ["It belongs to nobody: the best that it bears is email=both", "customerId=3 and customerId=33"]),
        ("customerId=4", ["No pass belongs to customerId=4.", "CRM record 604 is left alone, since 2026-03-03"]),
        ("604", ["No pass belongs to customerId=4."]),
        ("customerId=new", ["Is in Apple Wallet since 2026-03-11 11:00:00", "the pipeline holds nothing yet."]),
        ("customerId=3", ["Was never in a wallet.", "The CRM was not compared with this yet"]),
    ],
)  # fmt: skip
def test_odd_position_is_explained(of_others: Path, asked: str, sentences: list[str]) -> None:
    """Unmatched and disputed passes, a customer who departed, one not derived yet: the summary says so."""
    summary = " ".join(ask(of_others, asked).summary)
    assert [one for one in sentences if one not in summary] == []


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ("customerId=4", "Pass d-1 bore customerId=4 before; it belongs to customerId=44 now."),
        ("customerId=3", "email=both@x.test is borne by customerId=33, too: they are kept apart."),
        ("customerId=33", "Pass c-3 bears email=both@x.test, too, and belongs to nobody because of that."),
    ],
)
def test_what_is_unusual_about_a_customer_is_noted(of_others: Path, asked: str, note: str) -> None:
    """Passes that left, values that are shared, and passes in conflict over them are named."""
    found = ask(of_others, asked).customer
    assert found is not None
    assert note in found.notes


def test_gone_pass_is_explained(of_others: Path) -> None:
    """One list without the pass counts for nothing, the second one decides."""
    (gone,) = ask(of_others, "e-1").passes
    assert [(one.kind, one.first_at, one.role) for one in gone.registers[0].evidence] == [
        ("list", at("01 03:00"), []),
        ("missing", at("03 03:00"), ["decides"]),
    ]
    assert [(one.first_at, one.reason) for one in gone.not_counted] == [
        (at("02 03:00"), "one list that lacks the pass says nothing: only the next one that lacks it, too, counts")
    ]


def test_text_is_safe_to_print(of_others: Path) -> None:
    """Control characters and marks of direction in stored values are escaped, in the text and in the JSON."""
    found = ask(of_others, "customerId=evil")
    text = as_text(found)
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"Pass h-1 (\x1b[31mred\x07)" in text
    assert r"note=one\ntwo \u202e" in text
    assert found.as_json().isascii()


# What cannot be answered


def test_unknown_name_says_how_to_ask(of_others: Path) -> None:
    """Nobody by that name: the message names the ways to ask."""
    with pytest.raises(UnknownCustomerError, match=r"Write an identifier as customerId=…, accountId=…, email=…"):
        ask(of_others, "nobody@x.test")


def test_value_that_was_borne_before_leads_on(of_others: Path) -> None:
    """Whoever asks by a value that a pass has lost is told where the pass is now."""
    with pytest.raises(
        UnknownCustomerError, match=r"Pass d-1 bore email=dora@x.test before; it belongs to customerId=44 now"
    ):
        ask(of_others, "dora@x.test")


def test_name_of_several_lists_them(of_others: Path) -> None:
    """An e-mail that two customers bear is no answer, and both are named."""
    with pytest.raises(SeveralCustomersError, match=r"customerId=3, customerId=33\. Name one of these"):
        ask(of_others, "both@x.test")


def test_moment_before_all_evidence_is_told(of_ann: Path) -> None:
    """Before the customer was known there is nobody, and that is said to be of that moment."""
    with pytest.raises(UnknownCustomerError, match=r"That is how it was at 2026-03-01 02:00:00; leave out --as-of"):
        ask(of_ann, "a-1", at("01 02:00"))


@pytest.mark.parametrize("asked", ["", "customerId=", "'; DROP TABLE raw.passes; --", "\udcff"])
def test_odd_question_is_answered(of_others: Path, asked: str) -> None:
    """Whatever is typed ends in a sentence."""
    with pytest.raises(ExplainedError):
        ask(of_others, asked)


def test_warehouse_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Before the first run there is nothing to look at, and nothing is created."""
    with pytest.raises(WarehouseError, match="nothing was read yet"):
        ask(tmp_path / "warehouse.duckdb", "x")
    assert list(tmp_path.iterdir()) == []


def test_warehouse_of_an_earlier_version_is_told(template: Path, tmp_path: Path) -> None:
    """Tables that lack a migration are not guessed at."""
    file = made(
        template, tmp_path, lambda con, _: con.execute("DELETE FROM schema_migrations WHERE name LIKE '006%'") and None
    )
    with pytest.raises(WarehouseError, match="made by an earlier version"):
        ask(file, "x")


def test_warehouse_in_use_is_waited_for(of_ann: Path, tmp_path: Path, start_script: Callable[[str], Script]) -> None:
    """While a writer holds the warehouse it is waited for, at last in vain, and the holder is named."""
    shutil.copy(of_ann, tmp_path)
    holder = start_script("""
        import sys, duckdb
        con = duckdb.connect("warehouse.duckdb")
        print("open", flush=True)
        sys.stdin.readline()
    """)
    holder.wait_for("open")
    with pytest.raises(WarehouseError, match=rf"is held by .*\(process {holder.process.pid}\)"):
        explain(tmp_path / "warehouse.duckdb", 0, EXPLAIN_RULES, "a-1", None, NOW)


def test_nothing_is_written(of_ann: Path) -> None:
    """The warehouse is the same file, byte for byte, and nothing lies beside it."""
    before = (of_ann.read_bytes(), sorted(of_ann.parent.iterdir()))
    ask(of_ann, "a-1")
    assert (of_ann.read_bytes(), sorted(of_ann.parent.iterdir())) == before
