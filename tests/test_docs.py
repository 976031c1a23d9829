"""The documentation agrees with the code: nothing is missing, out of date, or broken."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import click
import duckdb
import pytest

from tests.warehouse.filled import fill
from wallet_pipeline.cli import main
from wallet_pipeline.definitions import defs
from wallet_pipeline.settings import Settings
from wallet_pipeline.warehouse.connection import connect
from wallet_pipeline.warehouse.publish import PUBLISHED, publish

ROOT = Path(__file__).resolve().parent.parent
GUIDE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDE, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def _load_tables() -> ModuleType:
    spec = spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = _load_tables()
guide = "\n".join(page.read_text() for page in GUIDE)
queries = [code for language, code in _FENCE.findall(guide) if language == "sql"]
scripts = [code for language, code in _FENCE.findall((ROOT / "docs/analysts.md").read_text()) if language == "python"]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield each command of the command line with its whole name; of a group its commands."""
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())
        else:
            yield name, command


def typed_commands() -> Iterator[str]:
    """Yield each command as it is typed, alone and with each of its options."""
    for name, command in commands():
        yield f"wallet-pipeline {name}"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield f"wallet-pipeline {name} {max(parameter.opts, key=len)}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", tables.PARTS)
def test_generated_parts_are_up_to_date(name: str) -> None:
    """The settings table and the data dictionary say what the code says; else run `python docs/tables.py`."""
    file = ROOT / name
    assert file.read_text() == tables.up_to_date(file)


def test_every_column_of_the_warehouse_is_explained() -> None:
    """No table and no column is without a comment."""
    assert "None" not in tables.data_dictionary()
    assert not re.search(r"\|\s*\|\s*$", tables.data_dictionary(), re.MULTILINE)


def test_every_setting_has_a_sentence() -> None:
    """Each setting's description is a sentence."""
    assert [name for name, one in Settings.model_fields.items() if not (one.description or "").endswith(".")] == []


@pytest.mark.parametrize("command", [*typed_commands()])
def test_command_and_option_are_in_the_readme(command: str) -> None:
    """The README's table names each command, and each option with its command."""
    assert re.search(rf"`{re.escape(command)}\b", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("target", re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
def test_make_target_is_in_the_readme(target: str) -> None:
    """The README's table names each target of the Makefile."""
    assert f"| `make {target}` |" in (ROOT / "README.md").read_text()


def test_every_asset_check_job_schedule_and_sensor_is_in_the_guide() -> None:
    """Whatever Dagster's UI shows by name can be looked up."""
    shown = defs().get_repository_def()
    names = {key.path[-1] for key in shown.asset_graph.get_all_asset_keys()}
    names |= {key.name for key in shown.asset_graph.asset_check_keys}
    names |= {job.name for job in shown.get_all_jobs() if not job.name.startswith("__")}
    names |= {one.name for one in [*shown.schedule_defs, *shown.sensor_defs]}
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in guide} == set()


@pytest.mark.parametrize("table", PUBLISHED)
def test_published_table_is_explained_to_analysts(table: str) -> None:
    """The page for analysts lists each table of wallet_bi.duckdb."""
    assert f"| `{table}` |" in (ROOT / "docs/analysts.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that exists, and an anchor that the file has."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked() -> None:
    """Each page can be reached from the README, or from the list of decisions."""
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in _LINK.findall(page.read_text())
        if "://" not in link
    }
    assert [page for page in PAGES[1:] if page not in linked] == []


@pytest.fixture(scope="module")
def bi_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a warehouse with some rows in every table."""
    folder = tmp_path_factory.mktemp("bi") / "data"
    with connect(folder / "warehouse.duckdb", wait=5) as con:
        fill(con)
        return publish(con, folder / "wallet_bi.duckdb").file


@pytest.mark.parametrize("query", queries, ids=lambda query: " ".join(query.split())[:40])
def test_query_for_analysts_runs(bi_file: Path, query: str) -> None:
    """Each query of the README and the pages runs on the published file, over values of every type."""
    with duckdb.connect(bi_file, read_only=True) as con:
        con.execute(query).fetchall()


def test_there_are_queries_for_analysts() -> None:
    """The queries are found at all."""
    assert len(queries) >= 20


@pytest.mark.parametrize("script", scripts, ids=range(len(scripts)))
def test_python_for_analysts_runs(bi_file: Path, script: str) -> None:
    """Each script of the page for analysts runs in the folder of the project."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=bi_file.parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_code_blocks_exist(page: Path) -> None:
    """A `wallet-pipeline` line in a code block names a command, and options that the command has."""
    for _, code in _FENCE.findall(page.read_text()):
        for typed in re.findall(r"bin/wallet-pipeline ([^\n]+)", code):
            ((name, command),) = [(name, one) for name, one in commands() if f"{typed} ".startswith(f"{name} ")]
            known = {option for parameter in command.params for option in parameter.opts}
            if name != "sandbox":
                assert set(re.findall(r"--[\w-]+", typed)) <= known
