"""Pages become rows: each value as the JSON says it, what cannot be read refused, and no secret anywhere."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

from tests.collect.snapshots import everything_told
from wallet_pipeline.collect.page_loader import SnapshotError, open_staging

SECRET = "s3cr3t-0123456789"


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """Give the name of a staging file to be."""
    return tmp_path / "staging" / "reading.duckdb"


def load(file: Path, *pages: str) -> int:
    """Load the pages, check them, and return how many passes they list."""
    with open_staging(file) as loader:
        count = loader.load(dict(enumerate(page.encode() for page in pages)))
        loader.check()
    return count


def listed(file: Path, column: str) -> list[Any]:
    """Return a column of the staged passes."""
    with duckdb.connect(file, read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return [value for (value,) in con.execute(f"SELECT {column} FROM listing ORDER BY pass_id").fetchall()]


def refusal(file: Path, page: str) -> str:
    """Load a page that cannot be used and return the message."""
    with pytest.raises(SnapshotError) as raised:
        load(file, page)
    return str(raised.value)


def test_pages_are_loaded_together(staged: Path) -> None:
    """Several pages at once give all their passes."""
    assert load(staged, '[{"id": "pass-a"}, {"id": "pass-b"}]', '[{"id": "pass-c"}]', "[]") == 3


def test_each_load_counts_its_own_passes(staged: Path) -> None:
    """The count of a load leaves out what earlier loads brought."""
    with open_staging(staged) as loader:
        loader.load({0: b'[{"id": "pass-a"}]'})
        assert loader.load({1: b'[{"id": "pass-b"}, {"id": "pass-c"}]'}) == 2


def test_pass_listed_twice_is_one_pass(staged: Path) -> None:
    """Distinct passes are counted by their ids."""
    with open_staging(staged) as loader:
        loader.load({0: b'[{"id": "pass-a"}, {"id": "pass-b"}]', 1: b'[{"id": "pass-b"}]'})
        assert loader.distinct_passes() == 2


def test_cleared_loader_begins_anew(staged: Path) -> None:
    """After clear nothing of the pages before is left."""
    with open_staging(staged) as loader:
        loader.load({0: b'[{"id": "pass-a"}]'})
        loader.clear()
        loader.load({0: b'[{"id": "pass-b"}]'})
    assert listed(staged, "pass_id") == ["pass-b"]


IDENTIFIERS: Mapping[str, tuple[str, str]] = {
    "text": ('{"customerId": "C-1"}', '{"customerId":"C-1"}'),
    "sorted": ('{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    "dots": ('{"y2.customerId": "Y"}', '{"y2.customerId":"Y"}'),
    "whole number": ('{"n": 100}', '{"n":100}'),
    "fraction": ('{"n": 1.10}', '{"n":"1.10"}'),
    "negative fraction": ('{"n": -0.50}', '{"n":"-0.50"}'),
    "exponent": ('{"n": 1e3}', '{"n":"1e3"}'),
    "capital exponent": ('{"n" :  2E+05}', '{"n":"2E+05"}'),
    "twenty digits": ('{"n": 12345678901234567890}', '{"n":12345678901234567890}'),
    "thirty digits": ('{"n": 123456789012345678901234567890}', '{"n":123456789012345678901234567890}'),
    "large beside fraction": (
        '{"a": 1.10, "n": 12345678901234567890}',
        '{"a":"1.10","n":12345678901234567890}',
    ),
    "nested": ('{"n": {"deep": 1.50}}', '{"n":{"deep":"1.50"}}'),
    "array": ('{"n": [1.10, 2]}', '{"n":["1.10",2]}'),
    "second in array": ('{"n": [2, 1.10]}', '{"n":[2,"1.10"]}'),
    "boolean": ('{"n": true}', '{"n":true}'),
    "null value": ('{"n": null}', '{"n":null}'),
    "accents": ('{"n": "É 1.5"}', '{"n":"É 1.5"}'),
    "quotes": (r'{"n": "a\"b\\c"}', r'{"n":"a\"b\\c"}'),
    "empty": ("{}", "{}"),
    "null": ("null", "{}"),
    "list": ('["a"]', "{}"),
}


@pytest.mark.parametrize(("written", "kept"), IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_identifiers_are_kept_as_written(staged: Path, written: str, kept: str) -> None:
    """Identifiers are a JSON object with sorted names, and a number keeps the digits that the service wrote."""
    load(staged, f'[{{"id": "pass-a", "identifiers": {written}}}]')
    assert listed(staged, "identifiers") == [kept]


def test_absent_identifiers_are_none(staged: Path) -> None:
    """A pass without identifiers has an empty object."""
    load(staged, '[{"id": "pass-a"}]')
    assert listed(staged, "identifiers") == ["{}"]


def test_neighbours_do_not_change_a_pass(staged: Path, tmp_path: Path) -> None:
    """A pass is read alike whatever else its page holds: otherwise each shift of the pages would look like a change."""
    messy = '{"id": "pass-a", "identifiers": {"a": [1.10, 1], "b": 7}}'
    load(staged, f"[{messy}]")
    load(tmp_path / "other.duckdb", f'[{messy}, {{"id": "pass-b", "metadata": {{"weight": 0.5}}}}]')
    assert listed(staged, "identifiers") == listed(tmp_path / "other.duckdb", "identifiers")[:1]


DATES = {
    "seven digits": ("2026-01-11T08:30:00.1234567Z", "2026-01-11 08:30:00.123456"),
    "no digits": ("2026-01-11T08:30:00Z", "2026-01-11 08:30:00"),
    "zero offset": ("2026-01-11T08:30:00.1+00:00", "2026-01-11 08:30:00.1"),
    "other offset": ("2026-01-11T08:30:00+02:00", "2026-01-11 06:30:00"),
}


@pytest.mark.parametrize(("written", "kept"), DATES.values(), ids=DATES)
@pytest.mark.parametrize("column", ["created_at", "apple_at", "google_at"])
def test_dates_become_utc(staged: Path, column: str, written: str, kept: str) -> None:
    """Dates with any number of digits and any offset are kept in UTC, in microseconds."""
    providers = f'{{"apple": "{written}", "google": "{written}"}}'
    load(staged, f'[{{"id": "pass-a", "creationDate": "{written}", "providers": {providers}}}]')
    assert listed(staged, f"{column}::VARCHAR") == [kept]


@pytest.mark.parametrize("providers", ["null", "{}", '{"apple": null}', '{"apple": ""}', '{"apple": " "}'])
def test_not_installed_has_several_spellings(staged: Path, providers: str) -> None:
    """An absent, null or empty provider is not installed."""
    load(staged, f'[{{"id": "pass-a", "providers": {providers}}}]')
    assert listed(staged, "apple_at") == [None]


def test_other_wallets_are_counted(staged: Path) -> None:
    """A date of a wallet that this pipeline does not know is counted and is no installation."""
    load(staged, '[{"id": "pass-a", "providers": {"samsung": "2026-01-01T00:00:00Z"}}]')
    assert listed(staged, "(other_wallets, apple_at, google_at)") == [(1, None, None)]


@pytest.mark.parametrize(
    "date", ['"2026-02-30T00:00:00Z"', '"epoch"', '"soon"', '"infinity"', "12", "true", '{"at": "2026-01-01"}', "[]"]
)
def test_installation_date_that_is_none_is_refused(staged: Path, date: str) -> None:
    """A date that cannot be read stops the load and names pass and wallet; it is never read as not installed."""
    told = refusal(staged, f'[{{"id": "pass-a", "providers": {{"google": {date}}}}}]')
    assert told.startswith(
        "1 passes have an installation date that is no date: pass-a (google). Nothing was taken over"
    )


def test_many_bad_dates_are_named_in_part(staged: Path) -> None:
    """Of many passes with bad dates the number is told and a few are named."""
    bad = ", ".join(f'{{"id": "pass-{n}", "providers": {{"apple": "never"}}}}' for n in range(9))
    told = refusal(staged, f"[{bad}]")
    assert (told.startswith("9 passes"), "pass-4" in told, "pass-5" in told) == (True, True, False)


@pytest.mark.parametrize("nameless", ["{}", "null", '{"id": null}', '{"id": ""}', '{"id": "  "}'])
def test_pass_without_an_id_is_refused(staged: Path, nameless: str) -> None:
    """A pass without an id stops the load."""
    assert refusal(staged, f'[{{"id": "pass-a"}}, {nameless}]').startswith("1 of the listed passes have no id")


MISSHAPEN = {
    "list in providers": f'[{{"id": "pass-a", "secret": "{SECRET}", "providers": [{{"secret": "{SECRET}"}}]}}]',
    "text in providers": f'[{{"id": "pass-a", "secret": "{SECRET}", "providers": "{SECRET}"}}]',
    "number in providers": f'[{{"id": "pass-a", "secret": "{SECRET}", "providers": 5}}]',
    "wallet twice": f'[{{"id": "pass-a", "secret": "{SECRET}", "providers": {{"apple": "", "apple": ""}}}}]',
    "texts for passes": f'["{SECRET}"]',
    "lists for passes": f'[["{SECRET}"]]',
    "broken off": f'[{{"id": "pass-a", "secret": "{SECRET}"}}, {{"id": "pa',
    "object": f'{{"id": "pass-a", "secret": "{SECRET}"}}',
    "two lists": f'[{{"id": "pass-a", "secret": "{SECRET}"}}][]',
    "bad escape": f'[{{"id": "\\ud800", "secret": "{SECRET}"}}]',
}


@pytest.mark.parametrize("page", MISSHAPEN.values(), ids=MISSHAPEN)
def test_page_of_another_shape_is_refused(staged: Path, page: str) -> None:
    """A page that is not a list of passes as documented stops the load and is named."""
    assert refusal(staged, page).startswith("Page 0 of the passes has another shape than documented")


def test_mismatch_is_told_by_its_kind(staged: Path) -> None:
    """The message says what was expected and what came, in the words of types."""
    told = refusal(staged, MISSHAPEN["list in providers"])
    assert "OBJECT was expected, ARRAY came" in told


def test_misshapen_page_among_many_is_named(staged: Path) -> None:
    """Of several pages loaded together the message names the one that is wrong."""
    with pytest.raises(SnapshotError, match=r"^Page 7 of the passes"), open_staging(staged) as loader:
        loader.load({6: b"[]", 7: b'[{"id": "pass-a", "providers": []}]', 8: b"[]"})


@pytest.mark.parametrize("page", MISSHAPEN.values(), ids=MISSHAPEN)
def test_refusal_never_quotes_a_secret(staged: Path, page: str) -> None:
    """No way of showing the error, nor any exception that it carries along, holds the secret of a pass."""
    with pytest.raises(SnapshotError) as raised:
        load(staged, page)
    assert SECRET not in everything_told(raised.value)


@pytest.mark.parametrize("page", [f'[{{"id": "pass-a", "secret": "{SECRET}"}}]', *MISSHAPEN.values()])
def test_file_never_holds_a_secret(staged: Path, page: str) -> None:
    """Nothing in the staging folder holds the secret, whether the page is loaded or refused."""
    with open_staging(staged) as loader:
        with suppress(SnapshotError):
            loader.load({0: page.encode()})
        during = [file.name for file in staged.parent.iterdir() if SECRET.encode() in file.read_bytes()]
    assert during + [file.name for file in staged.parent.iterdir() if SECRET.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("page", ['[{"id": "pass-a"}]', MISSHAPEN["texts for passes"]])
def test_pages_do_not_stay_in_memory(staged: Path, page: str) -> None:
    """Once a page is loaded or refused its bytes are gone from the memory file system."""
    with open_staging(staged) as loader:
        with suppress(SnapshotError):
            loader.load({0: page.encode()})
        assert fsspec.filesystem("memory").find("/wallet_pipeline") == []
