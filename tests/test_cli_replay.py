"""The command `wallet-pipeline replay`: what a user types and reads."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.collect.deliveries import START, receive, told
from tests.conftest import Data, Script
from tests.warehouse.test_connection import HOLD
from wallet_pipeline.cli import main
from wallet_pipeline.collect.wallet_events import take_events
from wallet_pipeline.collect.webhooks.understanding import EventMapping
from wallet_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SAYS_HOW_TO_WRITE = "Nothing was written. To write it, give the same command with --write."


@pytest.fixture(autouse=True)
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stand in a checkout with three deliveries, taken over before EVENT_PASS_ID_AT was right; return their ids."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    data = Data(tmp_path / "data")
    elsewhere = {"passId": None, "pass": {"id": "pass-2"}}
    ids = receive(data.folder / "inbox.sqlite", [told(1), told(2) | elsewhere, told(3, device=None) | elsewhere])
    take_events(data.open, data.folder / "inbox.sqlite", EventMapping.from_settings(Settings.model_construct()))
    monkeypatch.setenv("EVENT_PASS_ID_AT", "passId,pass.id")
    return ids


@pytest.fixture
def warehouse(tmp_path: Path) -> Data:
    """Give the data folder that the command works in."""
    return Data(tmp_path / "data")


def call(*arguments: str) -> Result:
    """Run `wallet-pipeline replay` in this process."""
    return CliRunner().invoke(main, ["replay", *arguments])


def counts(*arguments: str) -> dict[str, int]:
    """Return the table that a command that succeeds prints."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return {name.strip(): int(count) for name, count in re.findall(r"^(.+?)\s+(\d+)$", result.output, re.MULTILINE)}


ALL_THREE = {
    "deliveries read again": 3,
    "unchanged": 1,
    "now understood": 1,
    "no longer understood": 0,
    "understood differently": 0,
    "still not understood, for another reason": 1,
    "of forgotten passes, to be erased": 0,
    "no longer in the inbox, left as they are": 0,
}


def events(warehouse: Data) -> list[str]:
    """Return the passes of the events in the warehouse."""
    return [one for (one,) in warehouse.rows("SELECT pass_id FROM raw.wallet_events ORDER BY 1")]


def test_dry_run_counts_and_says_how_to_write(warehouse: Data) -> None:
    """Without --write the changes are counted, nothing is written, and it is told how to write."""
    assert counts("--all") == ALL_THREE
    assert SAYS_HOW_TO_WRITE in call("--all").output
    assert events(warehouse) == ["pass-00001"]


def test_writing_says_what_comes_next(warehouse: Data) -> None:
    """With --write the same counts come out, the rows are replaced, and the next step is named."""
    result = call("--all", "--write")
    assert "Written. The next run derives the customers whom it touches" in result.output
    assert "sync_changes, or wallet-pipeline run." in result.output
    assert SAYS_HOW_TO_WRITE not in result.output
    assert events(warehouse) == ["pass-00001", "pass-2"]
    assert call("--all", "--write").output.endswith("Nothing changes.\n")


def test_written_counts_are_those_of_the_dry_run() -> None:
    """The run that writes counts what the dry run counted."""
    assert counts("--all") == counts("--all", "--write") == ALL_THREE


def test_deliveries_are_chosen_by_id(taken: list[int], warehouse: Data) -> None:
    """--id may be repeated, and chooses just those deliveries."""
    assert counts("--id", str(taken[1]), "--id", str(taken[0]))["deliveries read again"] == 2
    call("--id", str(taken[1]), "--write")
    assert events(warehouse) == ["pass-00001", "pass-2"]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--since", "2026-01-11T08:30:00.000001Z"], 2),
        (["--until", "2026-01-11T09:30:00.000001+01:00"], 1),
        (["--since", "2026-01-11T08:30:00Z", "--until", "2026-01-11T08:31:00Z"], 3),
        (["--reason", "no pass"], 2),
        (["--reason", "no pass id", "--since", "2026-01-11T08:30:00.000002Z"], 1),
    ],
)
def test_deliveries_are_chosen_by_time_and_reason(arguments: list[str], count: int) -> None:
    """Times of receipt, in any zone, and the beginning of the reason choose; of several conditions each must hold."""
    assert START == 1_768_120_200_000_000
    assert counts(*arguments)["deliveries read again"] == count


def test_selection_that_holds_nothing_says_so() -> None:
    """When no delivery meets the conditions the answer says so and names the place to look."""
    result = call("--reason", "no such reason")
    assert (result.exit_code, "No delivery that was taken over meets this" in result.output) == (0, True)


CHOOSE = "Choose deliveries with --id, --since, --until or --reason; or all of them with --all."


@pytest.mark.parametrize(
    ("arguments", "status", "answer"),
    [
        ([], 2, CHOOSE),
        (["--write"], 2, CHOOSE),
        (["--all", "--reason", "no pass id"], 2, CHOOSE),
        (
            ["--since", "2026-01-11T08:30:00"],
            2,
            "2026-01-11T08:30:00 has no time zone. Write it as 2026-01-31T08:00:00Z",
        ),
        (["--until", "2026-01-11"], 2, "2026-01-11 has no time zone"),
        (["--since", "yesterday"], 2, "yesterday is no time. Write it as 2026-01-31T08:00:00Z."),
        (["--id", "x"], 2, "is not a valid integer"),
        (["--id", str(2**63)], 2, "is not in the range"),
        (["--id", "7"], 1, "1 of the chosen deliveries were never taken over: 7."),
    ],
)
def test_wrong_input_is_explained(arguments: list[str], status: int, answer: str) -> None:
    """A wrong option, no choice at all, or an unknown id ends with a sentence that says what is wrong."""
    result = call(*arguments)
    assert (result.exit_code, answer in " ".join(result.output.split())) == (status, True), result.output


def test_missing_inbox_is_explained(warehouse: Data) -> None:
    """Without an inbox the answer says so and names the setting."""
    for file in warehouse.folder.glob("inbox.sqlite*"):
        file.unlink()
    result = call("--all")
    assert (result.exit_code, "nothing was ever received. Check DATA_DIR." in result.output) == (1, True)


def test_other_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of the project the command creates no warehouse by mistake."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "Run this in the folder of the project" in call("--all").output
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_unusable_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that cannot be used is told by the name of its setting."""
    monkeypatch.setenv("EVENT_TIME_AT", "data..time")
    result = call("--all")
    assert (result.exit_code, "EVENT_TIME_AT" in result.output) == (1, True)


def test_wait_for_the_warehouse_is_told(start_script: Callable[[str], Script], monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process has the warehouse, it is named at once, and not only when the wait is over."""
    holder = start_script(HOLD)
    holder.wait_for("held")
    monkeypatch.setenv("WAREHOUSE_WAIT", "0.5")
    command = [sys.executable, "-m", "wallet_pipeline.cli", "replay", "--all"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, f"(process {holder.process.pid}), waiting" in done.stderr) == (1, True)
