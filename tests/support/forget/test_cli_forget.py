"""The command: asks first, prints counts and never values."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wallet_pipeline.cli import main

from .conftest import ANNA, TRACE, Installation

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def standing(home: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Stand in the installation's folder."""
    shutil.copy(ROOT / "dagster.yaml", home.folder)
    monkeypatch.chdir(home.folder)
    monkeypatch.delenv("DATA_DIR", raising=False)
    return home


def call(*arguments: str, answer: str = "") -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["forget", *arguments], input=answer)


def test_command_asks_before_it_removes(standing: Installation) -> None:
    """Who does not say yes has changed nothing, and has seen what would be removed, in counts."""
    result = call(ANNA, answer="n\n")
    assert result.exit_code == 1
    assert "To be removed: 2 passes" in result.output
    assert "  inbox, deliveries" in result.output
    assert "CRM: a contact is linked" in result.output
    assert TRACE not in result.output.lower()
    assert "raw.passes" in standing.found_in()
    done = call(ANNA, "--yes")
    assert (done.exit_code, "Removed: 2 passes" in done.output, standing.found_in()) == (0, True, set()), done.output
    assert "CRM: left alone" in done.output
    assert TRACE not in done.output.lower()


@pytest.mark.usefixtures("standing")
def test_unknown_person_is_told_how_to_ask() -> None:
    """Status 1 and a sentence that offers other names to look by, a pass id among them."""
    result = call("customerId=nobody", "--yes")
    assert result.exit_code == 1
    assert "the id of one of their passes" in result.output
