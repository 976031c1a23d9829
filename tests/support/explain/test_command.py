"""The command `wallet-pipeline explain`: what a support agent types and reads."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import Data
from wallet_pipeline.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path, of_ann: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """Stand in a checkout with the warehouse that knows Ann."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    data = Data(tmp_path / "data")
    data.folder.mkdir()
    shutil.copy(of_ann, data.warehouse)
    monkeypatch.chdir(tmp_path)
    return data


def call(*arguments: str) -> Result:
    """Run `wallet-pipeline explain` in this process."""
    return CliRunner().invoke(main, ["explain", *arguments])


@pytest.mark.usefixtures("checkout")
def test_command_prints_text_or_json() -> None:
    """Both are the whole answer, with status 0; an e-mail in the argument is as good as a key."""
    text, as_json = call("ann@x.test"), call("customerId=1042", "--json", "--as-of", "2026-03-05T19:25:00+01:00")
    assert (text.exit_code, text.output.startswith("customerId=1042, as known at ")) == (0, True)
    assert (as_json.exit_code, json.loads(as_json.output)["as_of"]) == (0, "2026-03-05T18:25:00Z")


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(
    ("arguments", "status", "answer"),
    [
        (["nobody@x.test"], 1, 'The warehouse knows nobody by "nobody@x.test"'),
        (["a-1", "--as-of", "2026-03-05"], 2, "has no time zone"),
        (["a-1", "--as-of", "2999-01-01T00:00:00Z"], 2, "lies in the future"),
        ([], 2, "Missing argument"),
    ],
)
def test_command_explains_what_it_cannot_answer(arguments: list[str], status: int, answer: str) -> None:
    """An unknown name ends with status 1, a wrong call with 2, each with a sentence."""
    result = call(*arguments)
    assert (result.exit_code, answer in result.output) == (status, True), result.output
