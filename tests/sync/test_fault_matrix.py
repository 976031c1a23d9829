"""The fault matrix: what becomes of the sync under each fault at each point, as docs/fault-matrix.md tells it.

`WRITE_MATRIX=1 python -m pytest tests/sync/test_fault_matrix.py` writes the table of that page anew.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.sync.conftest import SYNC_TOKEN, Pipeline, open_account
from tests.sync.faults import EVERYWHERE, FAULTS, NOTHING, VARIANTS, Fault, Phase
from tests.sync.matrix import (
    KINDS,
    Customer,
    End,
    Group,
    Kind,
    World,
    meet_ending_faults,
    meet_passing_faults,
    meet_variants,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fault-matrix.md"
START, END = "<!-- matrix: made by tests/sync/test_fault_matrix.py -->", "<!-- end of matrix -->"
COLUMNS = ("read for the plan", "read before the write", *KINDS, "read back")
READ_COLUMNS: dict[Phase, str] = {"plan": COLUMNS[0], "before": COLUMNS[1], "back": COLUMNS[-1]}
TITLES = [*(one.title for one in FAULTS), *VARIANTS]
CANNOT_HAPPEN = "-"
NOBODY = {"email": "nobody@x.test", "firstname": "Nobody", "wallet_status": "both"}

Note = Callable[[str, str, str], None]

passing = [(phase, one) for phase in EVERYWHERE for one in FAULTS if phase in one.at and phase not in one.stops]
ending = [(phase, one) for phase in EVERYWHERE for one in FAULTS if phase in one.stops]


def name_of(value: object) -> str:
    """Return how a parameter is shown in a test's name."""
    return value.title if isinstance(value, Fault) else str(value)


class Runs:
    """The runs of the matrix, each done when a test first asks for it, and what a foreign contact held then."""

    def __init__(self, folder: Path, templates: Path) -> None:
        self._folder = folder
        self._templates = templates
        self._passing: dict[Phase, dict[str, Group]] = {}
        self._ending: dict[Phase, dict[str, End]] = {}
        self._variants: dict[str, Group] = {}
        # What became of the customers of faults that end a run, after a run without.
        self.ended: dict[Phase, list[Customer]] = {}
        self.foreign: dict[str, dict[str, str]] = {}

    def passing(self, phase: Phase) -> dict[str, Group]:
        """Return what became of the customers of each fault that passes."""
        if phase not in self._passing:
            with self._world(f"passing-{phase}") as world:
                self._passing[phase] = meet_passing_faults(world, phase)
        return self._passing[phase]

    def ending(self, phase: Phase) -> dict[str, End]:
        """Return how each fault ended its run."""
        if phase not in self._ending:
            with self._world(f"ending-{phase}") as world:
                self._ending[phase] = meet_ending_faults(world, phase)
                self.ended[phase] = world.everyone()
        return self._ending[phase]

    def variants(self) -> dict[str, Group]:
        """Return what became of the customers in an account that answers in its own way."""
        if not self._variants:
            with self._world("variants") as world:
                self._variants = meet_variants(world, VARIANTS)
        return self._variants

    @contextmanager
    def _world(self, name: str) -> Iterator[World]:
        folder = self._folder / name
        folder.mkdir()
        for file in [*self._templates.glob("crm.sqlite*"), self._templates / "warehouse.duckdb"]:
            shutil.copy(file, folder)
        with (
            open_account(folder) as account,
            closing(Pipeline(folder, account.destination(SYNC_TOKEN))) as pipeline,
            closing(World(account, pipeline)) as world,
        ):
            yield world
            self.foreign[name] = world.foreign_contact


@pytest.fixture(scope="module")
def runs(templates: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Do the runs that the tests of this process ask for."""
    return Runs(tmp_path_factory.mktemp("matrix"), templates)


@pytest.fixture(scope="module")
def note() -> Iterator[Note]:
    """Compare what was seen with the page, or gather it and write the page."""
    if "WRITE_MATRIX" not in os.environ:
        yield _compare
        return
    cells: dict[tuple[str, str], str] = {}
    _write(cells)
    yield lambda title, column, seen: cells.update({(title, column): seen})
    _write(cells)


def _compare(title: str, column: str, seen: str) -> None:
    assert read_page()[title][COLUMNS.index(column)] == seen, "docs/fault-matrix.md is out of date: see this module"


def _write(cells: dict[tuple[str, str], str]) -> None:
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(f"{before}{START}\n{_table(cells)}\n{END}{rest.partition(END)[2]}")


def _table(cells: dict[tuple[str, str], str]) -> str:
    head = ["fault", *COLUMNS]
    rows = [[title, *(cells.get((title, column), CANNOT_HAPPEN) for column in COLUMNS)] for title in TITLES]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def read_page() -> dict[str, list[str]]:
    """Return the cells of the page's table by fault."""
    table = PAGE.read_text().partition(START)[2].partition(END)[0]
    rows = [re.split(r" \| ", line.strip("| ")) for line in table.strip().splitlines()[2:]]
    return {title: cells for title, *cells in rows}


@pytest.mark.usefixtures("note")
def test_page_has_a_row_for_each_fault_and_no_other() -> None:
    """The page shows the matrix that the tests run, whole."""
    page = read_page()
    assert (list(page), {len(cells) for cells in page.values()}) == (TITLES, {len(COLUMNS)})


@pytest.mark.parametrize(("phase", "fault"), passing, ids=name_of)
def test_passing_fault_loses_nobody(runs: Runs, note: Note, phase: Phase, fault: Fault) -> None:
    """Each customer is verified or listed; no contact is doubled; the next run puts everything right."""
    group, usual = runs.passing(phase)[fault.title], runs.passing(phase)[NOTHING.title].requests
    assert [one.key for one in group.everyone() if not one.is_accounted_for] == []
    assert [one.key for one in group.everyone() if (one.contacts, one.holds_at_last) != (1, True)] == []
    assert runs.foreign[f"passing-{phase}"] == NOBODY
    seen = {kind: group.words(kind, usual[kind]) if kind in group.met else CANNOT_HAPPEN for kind in KINDS}
    if phase == "write":
        for kind, words in seen.items():
            note(fault.title, kind, words)
    else:
        note(fault.title, READ_COLUMNS[phase], _in_one_cell(seen))


def _in_one_cell(seen: dict[Kind, str]) -> str:
    kinds: dict[str, list[str]] = {}
    for kind, words in seen.items():
        if words != CANNOT_HAPPEN:
            kinds.setdefault(words, []).append(kind)
    if len(kinds) > 1:
        return "; ".join(f"{' and '.join(names)}: {words}" for words, names in kinds.items())
    return next(iter(kinds), CANNOT_HAPPEN)


@pytest.mark.parametrize(("phase", "fault"), ending, ids=name_of)
def test_ending_fault_is_told_and_nothing_wrong_is_booked(runs: Runs, note: Note, phase: Phase, fault: Fault) -> None:
    """The run says why and what to do, lists its customers, books nothing wrong; a later run puts everything right."""
    end = runs.ending(phase)[fault.title]
    assert re.search(r"(?i)\b(check|run again|put|add|look|compare|let)\b", end.message)
    assert not re.search(r"pat-|f00-", end.message)
    assert [one.key for one in end.customers if one.outcome == "verified" and not one.held] == []
    assert [one.key for one in end.customers if phase != "plan" and not one.is_accounted_for] == []
    assert end.changed == (phase == "back")
    assert [one.key for one in runs.ended[phase] if (one.contacts, one.holds_at_last) != (1, True)] == []
    assert runs.foreign[f"ending-{phase}"] == NOBODY
    for column in KINDS if phase == "write" else [READ_COLUMNS[phase]]:
        note(fault.title, column, end.words)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_refuses_the_bad_rows_alone(runs: Runs, note: Note, variant: str) -> None:
    """However the account answers, good rows are verified, bad ones listed as data, and later put right."""
    group = runs.variants()[variant]
    assert [one.key for one in group.everyone() if not one.is_accounted_for] == []
    assert [one.key for one in group.everyone() if (one.contacts, one.holds_at_last) != (1, True)] == []
    assert [one.listed and one.listed[0] for one in group.everyone()] == [None, None, "data"] * len(KINDS)
    for kind in KINDS:
        note(variant, kind, group.words(kind))
    for column in READ_COLUMNS.values():
        note(variant, column, "verified")
