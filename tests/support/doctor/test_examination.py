"""The command `wallet-pipeline doctor` on an installation that is well, and what it says of settings."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from tests.support.doctor.conftest import ROOT, Home
from wallet_pipeline.cli import main
from wallet_pipeline.support.doctor.finding import Finding, each, ok

PACKAGE = ROOT / "wallet_pipeline" / "support" / "doctor"
FIGHTS = ROOT / "wallet_pipeline" / "sync" / "fights.py"
SUBJECTS = ["settings", "The Wallet Crew", "HubSpot", "receiver", "inbox", "warehouse", "Dagster", "alerts"]


def call(home: Home, *options: str) -> Result:
    """Run `wallet-pipeline doctor` in this process."""
    return CliRunner().invoke(main, ["doctor", "--receiver", f"http://127.0.0.1:{home.receiver.port}", *options])


def content(folder: Path) -> dict[str, str]:
    """Return a hash of each file below a folder; of a log of SQLite that is in use just its name."""
    files = [one for one in sorted(folder.rglob("*")) if one.is_file() and "state" not in one.parts]
    return {str(one): "" if "sqlite-" in one.name else sha256(one.read_bytes()).hexdigest() for one in files}


def test_an_installation_that_is_well_has_no_warning(checkout: Home) -> None:
    """Where nothing is wrong every check says ok, and the command ends with status 0."""
    result = call(checkout, "--json")
    told = json.loads(result.stdout)
    assert [one for one in told["findings"] if one["level"] != "ok"] == []
    assert (result.exit_code, told["problems"], told["warnings"]) == (0, 0, 0)
    assert list(dict.fromkeys(one["subject"] for one in told["findings"])) == SUBJECTS


def test_progress_is_told_beside_the_json(checkout: Home) -> None:
    """With --json the subjects are named on the other channel while they are looked at."""
    assert call(checkout, "--json").stderr.splitlines() == SUBJECTS


def test_nothing_is_written(checkout: Home) -> None:
    """Neither a file nor a contact is other than before; a receiver that looks after its own disk is left aside."""
    before = content(checkout.folder)
    writes = f"{checkout.tenant.facts['hubspot_url']}/sandbox/writes"
    written = requests.get(writes, timeout=10).json()["count"]
    CliRunner().invoke(main, ["doctor", "--receiver", "http://127.0.0.1:1"])
    assert content(checkout.folder) == before
    assert requests.get(writes, timeout=10).json()["count"] == written


def test_text_names_level_check_and_next_step(checkout: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem is a line with its level and check, then its next step; the command ends with status 1."""
    monkeypatch.setenv("WALLET_CREW_API_KEY", "wrong")
    result = call(checkout)
    assert "  problem  access: The Wallet Crew did not accept the API key (401)" in result.output
    assert "\n1 problem, 0 warnings, " in result.output
    assert result.exit_code == 1


def test_missing_settings_are_told_at_once(checkout: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is missing is told in one go, each with where it comes from; what needs none of it is looked at."""
    for name in ("WALLET_CREW_TENANT_ID", "WALLET_CREW_API_KEY", "HUBSPOT_ACCESS_TOKEN"):
        monkeypatch.delenv(name)
    output = call(checkout).output
    for name in ("WALLET_CREW_TENANT_ID", "WALLET_CREW_API_KEY", "HUBSPOT_ACCESS_TOKEN"):
        assert f"problem  complete: {name} is missing." in output
    assert output.count("Not looked at: settings that it takes are missing") == 2
    assert "(there is none in " in output
    assert "ok       opens: " in output


def test_unusable_settings_are_told_one_by_one(checkout: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value that cannot be used is told with its reason, and what depends on none of them is looked at."""
    monkeypatch.setenv("MAX_NONE_SHARE", "5")
    monkeypatch.setenv("HUBSPOT_BASE_URL", "api.hubapi.com")
    output = call(checkout).output
    assert "problem  usable: MAX_NONE_SHARE cannot be used: Input should be less than or equal to 1." in output
    assert "problem  usable: HUBSPOT_BASE_URL cannot be used: A base URL is written as https://" in output
    assert "Not looked at: HUBSPOT_BASE_URL cannot be used. Correct that first." in output
    assert "ok       scope Pass.Read" in output


@pytest.fixture
def env_file(checkout: Home) -> Iterator[Path]:
    """Give a `.env` that is gone after the test."""
    file = checkout.folder / ".env"
    yield file
    file.unlink()


def test_mistyped_name_is_told(checkout: Home, env_file: Path) -> None:
    """A name in .env that is no setting but looks like one is told with the setting; a stranger's name is not."""
    env_file.write_text("HUBSPOT_TOKEN=secret-value\nPATH_TO_LOGS=/var/log\n")
    output = call(checkout).output
    assert "warning  spelling: HUBSPOT_TOKEN in .env is no setting: nothing reads it." in output
    assert "Next: Write HUBSPOT_ACCESS_TOKEN, if that is meant." in output
    assert "PATH_TO_LOGS" not in output


def test_setting_given_twice_is_told(checkout: Home, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two different values for a setting it is told which one counts; of two equal ones nothing."""
    env_file.write_text(f"TOLERANCE=30\nDATA_DIR={checkout.given['data_dir']}\n")
    monkeypatch.setenv("TOLERANCE", "60")
    output = call(checkout).output
    assert "warning  given twice: TOLERANCE has one value in .env and another one in the environment" in output
    assert "given twice: DATA_DIR" not in output


def test_env_file_that_is_no_text_is_explained(checkout: Home, env_file: Path) -> None:
    """A .env in another encoding than UTF-8 ends every command with what to do."""
    env_file.write_bytes("TOLERANCE=60\n".encode("utf-16"))
    result = call(checkout)
    assert (result.exit_code, "The file .env cannot be read" in result.output) == (1, True)


def test_secrets_that_were_cut_off_are_told_without_their_values(
    checkout: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is too short cannot be used, one of another length than usual is doubted; neither is printed."""
    monkeypatch.setenv("CONNECTOR_KEY", "short-secret")
    monkeypatch.setenv("WEBHOOK_SECRETS", "half-of-a-signature-secret")
    result = call(checkout)
    assert "problem  usable: CONNECTOR_KEY cannot be used: A secret has at least 16 characters" in result.output
    assert "warning  signature secrets: Secret 1 in WEBHOOK_SECRETS has 26 characters" in result.output
    assert not {"short-secret", "half-of-a-signature-secret"} & set(re.split(r"[\s,\"]", result.output))


def test_no_secret_is_printed(checkout: Home) -> None:
    """Neither the text nor the JSON holds a key, token or secret."""
    given = checkout.settings
    values = [given.wallet_crew_api_key, given.hubspot_access_token, *given.webhook_secrets]
    told = call(checkout).output + call(checkout, "--json").output
    assert [one for one in values if one.get_secret_value() in told] == []


def test_address_of_the_receiver_is_checked() -> None:
    """An address without http:// is refused with an example."""
    result = CliRunner().invoke(main, ["doctor", "--receiver", "localhost:8473"])
    assert (result.exit_code, "Write it as http://127.0.0.1:8473." in result.output) == (2, True)


def test_unforeseen_trouble_of_one_check_leaves_the_others() -> None:
    """A check that breaks costs itself only, and what it stumbled over is not quoted."""

    def broken() -> Iterator[Finding]:
        raise KeyError("s3cr3t")
        yield

    first, second = each({"broken": broken, "sound": lambda: iter([ok("Well.")])})
    assert (first.level, first.check, first.sentence) == ("warning", "broken", "This could not be looked at: KeyError.")
    assert second.sentence == "Well."


def test_every_check_is_on_the_page(checkout: Home) -> None:
    """The page on troubleshooting tells of each check what its warning means."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    checks = {one["check"] for one in json.loads(call(checkout, "--json").stdout)["findings"]}
    names = {"scope …" if check.startswith("scope ") else check for check in checks}
    assert len(names) > 20
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_next_steps_lead_to_headings_that_exist() -> None:
    """Where a next step names a page of the documentation, the page has the section that it names."""
    source = "".join(re.sub(r'"\n\s+"', "", one.read_text()) for one in [*PACKAGE.glob("*.py"), FIGHTS])
    named = re.findall(r"docs/([\w-]+\.md), ([A-Z][\w ]+?)(?=[,.]| for )", source)
    assert len(named) >= 5
    headings = {page: (ROOT / "docs" / page).read_text() for page, _ in named}
    assert [(page, name) for page, name in named if not re.search(rf"^#+ {name}$", headings[page], re.MULTILINE)] == []
