"""The command line: what a user types, and what it answers to wrong input."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.defs.conftest import Project, bare_project, project  # noqa: F401  fixtures
from wallet_pipeline.cli import main

ROOT = Path(__file__).parent.parent
TIME_LIMIT_S = 240


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a checkout of its own, without settings."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["run", "--since", "yesterday"], "does not match the format"),
        (["run", "--since", "2999-01-01"], "lies in the future"),
        (["run", "--since", "1999-01-01"], "lies before INSIGHTS_FIRST_DAY"),
        (["run", "--approve-plan", "x", "--since", "2026-01-01"], "stands alone"),
        (["fly"], "No such command"),
    ],
)
def test_wrong_input_is_explained(arguments: list[str], answer: str) -> None:
    """A wrong option ends with status 2 and a sentence."""
    result = call(*arguments)
    assert (result.exit_code, answer in result.output) == (2, True), result.output


@pytest.mark.usefixtures("checkout")
def test_setup_crm_without_a_token_names_the_setting() -> None:
    """Without a token the command says which setting is missing."""
    result = call("setup-crm")
    assert result.exit_code == 1
    assert "The setting HUBSPOT_ACCESS_TOKEN is missing" in result.output


@pytest.mark.usefixtures("checkout")
def test_unusable_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be used is named, with its reason."""
    monkeypatch.setenv("MAX_NONE_SHARE", "5")
    result = call("setup-crm")
    assert result.exit_code == 1
    assert "MAX_NONE_SHARE" in result.output


@pytest.mark.usefixtures("checkout")
def test_setup_crm_creates_once_and_then_finds(bare_project: Project) -> None:  # noqa: F811
    """The first call creates the properties, the second finds them."""
    assert bare_project.hubspot_url
    first, second = call("setup-crm"), call("setup-crm")
    assert "Created: wallet_status" in first.output
    assert "Created: nothing" in second.output


@pytest.mark.usefixtures("checkout")
def test_plan_tells_what_a_run_would_do(project: Project) -> None:  # noqa: F811
    """Before the first run there is nothing to plan; once statuses are derived, the plan shows who would be sent."""
    nothing = call("plan")
    assert (nothing.exit_code, "There is no warehouse" in nothing.output) == (1, True)
    assert project.run(assets=["pass_snapshot", "wallet_events", "wallet_registers", "customer_wallet_status"]).success
    told = call("plan")
    assert (told.exit_code, "create" in told.output, "Nothing was written." in told.output) == (0, True, True)


def test_first_runs_at_once_all_end_well(project: Project, checkout: Path) -> None:  # noqa: F811
    """Two runs from the command line, in a new checkout, and one that Dagster started wait for each other."""
    with ThreadPoolExecutor(2) as threads:
        from_the_command_line = threads.map(_run, [checkout, checkout])
        of_dagster = project.run(alone=False)
        assert ([*from_the_command_line], of_dagster.success) == ([0, 0], True)
    assert project.rows("SELECT count(*) FROM raw.snapshots WHERE verdict = 'accepted'") == [(3,)]


def _run(folder: Path) -> int:
    command = [sys.executable, "-m", "wallet_pipeline.cli", "run"]
    return subprocess.run(command, cwd=folder, timeout=TIME_LIMIT_S, check=False).returncode
