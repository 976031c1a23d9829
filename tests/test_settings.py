"""Settings explain themselves, name what is wrong, and keep secrets to themselves."""

from collections.abc import Callable
from pathlib import Path
from zoneinfo import available_timezones

import duckdb
import pytest
from pydantic import ValidationError

from tests.conftest import Script
from wallet_pipeline.settings import InvalidSettingError, MissingSettingError, Settings, load_settings

SECRET = "key-that-nobody-may-see"
CONTRACT = {
    "WALLET_CREW_BASE_URL",
    "WALLET_CREW_TENANT_ID",
    "WALLET_CREW_API_KEY",
    "WALLET_CREW_PAGE_SIZE",
    "HUBSPOT_BASE_URL",
    "HUBSPOT_ACCESS_TOKEN",
    "HUBSPOT_API_VERSION",
    "CRM_CUSTOMER_PROPERTY",
    "CRM_MISSING_CONTACTS",
    "IDENTIFIER_ORDER",
    "DATA_DIR",
}


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without a .env, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_has_to_be_set() -> None:
    """Without any setting the defaults hold."""
    assert Settings().data_dir == Path("data")


def test_names_that_others_rely_on_exist() -> None:
    """Every setting that the house's contract names exists under that name."""
    assert {name.upper() for name in Settings.model_fields} >= CONTRACT


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_described(name: str) -> None:
    """Each setting has a sentence that says what it is."""
    assert (Settings.model_fields[name].description or "").endswith((".", "`."))


def test_file_is_read(tmp_path: Path) -> None:
    """A setting in .env counts."""
    (tmp_path / ".env").write_text("WALLET_CREW_TENANT_ID=from-file\n")
    assert Settings().wallet_crew_tenant_id == "from-file"


def test_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting in .env counts more than one in the environment, as it does for Dagster's command."""
    (tmp_path / ".env").write_text("WALLET_CREW_TENANT_ID=from-file\n")
    monkeypatch.setenv("WALLET_CREW_TENANT_ID", "from-environment")
    assert Settings().wallet_crew_tenant_id == "from-file"


def test_alert_addresses_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several addresses have commas between them, and white space around an address does not count."""
    monkeypatch.setenv("ALERT_EMAIL_TO", " ops@example.com, crm@example.com,")
    monkeypatch.setenv("ALERT_WEBHOOK_URL", " https://hooks.example.com/x\n")
    assert Settings().alert_email_to == ("ops@example.com", "crm@example.com")
    assert Settings().alert_webhook_url.get_secret_value() == "https://hooks.example.com/x"


def test_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is there and empty leaves the default."""
    monkeypatch.setenv("WALLET_CREW_PAGE_SIZE", "")
    assert Settings().wallet_crew_page_size == 1000


WRONG = [
    ("WALLET_CREW_PAGE_SIZE", "0"),
    ("WALLET_CREW_PAGE_SIZE", "many"),
    ("WALLET_CREW_CONCURRENCY", "1000"),
    ("WALLET_CREW_BASE_URL", "app.example.com"),
    ("HUBSPOT_BASE_URL", "ftp://example.com"),
    ("HUBSPOT_BASE_URL", "https://"),
    ("HUBSPOT_BASE_URL", "https://api hubapi.com"),
    ("HUBSPOT_BASE_URL", "https://somebody:password@api.hubapi.com"),
    ("HUBSPOT_BASE_URL", "https://api.hubapi.com?key=1"),
    ("WALLET_CREW_BASE_URL", "http://app.example.com"),
    ("ALERT_WEBHOOK_URL", "hooks.example.com/services/x"),
    ("ALERT_WEBHOOK_URL", "https:///services/x"),
    ("ALERT_EMAIL_TO", "Ops <ops@example.com>"),
    ("ALERT_EMAIL_FROM", "nobody"),
    ("ALERT_SMTP_URL", "mail.example.com:587"),
    ("ALERT_SMTP_URL", "smtp://me:pass/word@mail.example.com"),
    ("ALERT_SMTP_URL", "smtp://mail.example.com:many"),
    ("ALERT_DRIFT_SHARE", "5"),
    ("WALLET_CREW_API_KEY", "two words"),
    ("HUBSPOT_ACCESS_TOKEN", "clé"),
    ("INSIGHTS_PASS_ID", "passId) | take 1"),
    ("INSIGHTS_FIRST_DAY", "yesterday"),
    ("CRM_CUSTOMER_PROPERTY", "Customer Id"),
    ("CRM_MISSING_CONTACTS", "ignore"),
    ("IDENTIFIER_ORDER", "customerId,,email"),
    ("IDENTIFIER_ORDER", "email,email"),
    ("IDENTIFIER_ORDER", "a=b"),
    ("MIN_SNAPSHOT_SHARE", "90"),
    ("MAX_NONE_SHARE", "-0.1"),
    ("SETTLE_WINDOW", "-1"),
    ("SCHEDULE_TIME_ZONE", "Europe/Nowhere"),
    ("SCHEDULE_TIME_ZONE", "../etc/passwd"),
    ("SCHEDULE_TIME_ZONE", "europe/paris"),
    ("REPORT_TIME_ZONE", "localtime"),
    ("REPORT_TIME_ZONE", "posix/Europe/Paris"),
    ("REPORT_TIME_ZONE", "right/Europe/Paris"),
    ("REPORT_TIME_ZONE", " Europe/Paris"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_value_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value that cannot be used is an error of the setting that has it, and of no other."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert ([error["loc"][0] for error in raised.value.errors()], name.lower() in str(raised.value)) == (
        [name.lower()],
        True,
    )


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_data_folder_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A data folder that cannot be made, since a file is in its way, is told as such before anything runs."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATA_DIR", place)
    with pytest.raises(InvalidSettingError, match=r"DATA_DIR: It, or what lies above it, is a file\. Name a folder"):
        load_settings()


@pytest.mark.parametrize("place", ["locked", "locked/below"])
def test_data_folder_without_the_right_to_write_is_refused(
    tmp_path: Path, start_script: Callable[[str], Script], place: str
) -> None:
    """A data folder, there or still to be made, in which this user may not write is told as such."""
    (tmp_path / "locked").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    # Rights do not bind root, so root becomes nobody first.
    script = f"""
        import os
        os.environ["DATA_DIR"] = "{place}"
        from wallet_pipeline.settings import InvalidSettingError, load_settings
        os.getuid() == 0 and os.setreuid(65534, 65534)
        try:
            load_settings()
        except InvalidSettingError as error:
            print(error)
    """
    assert "DATA_DIR: This user may not write there. Give the user the right" in start_script(script).finish()


def test_time_zone_that_the_warehouse_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time zone that Python and this machine know and DuckDB does not is refused when settings are read."""
    with duckdb.connect() as con:
        known = {name for (name,) in con.execute("SELECT name FROM pg_timezone_names()").fetchall()}
    for name in available_timezones() - known:
        monkeypatch.setenv("REPORT_TIME_ZONE", name)
        with pytest.raises(ValidationError, match=r"such as Europe/Paris; capitals and blanks count"):
            Settings()


def test_line_of_the_env_file_that_is_no_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that would be passed over is an error with its number; it is not quoted, for it may be a key."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("# ours\nDATA_DIR=own\n\nuser secret\nHUBSPOT_ACCESS_TOKEN='pat-1\n")
    with pytest.raises(InvalidSettingError, match=r"^The file \.env cannot be read at line 4, 5\. ") as raised:
        load_settings()
    assert "secret" not in str(raised.value)
    assert "pat-1" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["WALLET_CREW_API_KEY", "HUBSPOT_ACCESS_TOKEN", "WALLET_CREW_PAGE_SIZE", "CRM_MISSING_CONTACTS"]
)
def test_wrong_value_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An error leaves the value out: a secret may have got into the wrong setting."""
    monkeypatch.setenv(name, f"{SECRET} é")
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert SECRET not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize("show", [str, repr, Settings.model_dump_json, lambda settings: str(settings.model_dump())])
def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch, show: Callable[[Settings], str]) -> None:
    """However settings are shown, key and token are not."""
    monkeypatch.setenv("WALLET_CREW_API_KEY", SECRET)
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", SECRET)
    assert SECRET not in show(Settings())


def test_white_space_around_a_secret_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break that was copied along with a key is no part of it."""
    monkeypatch.setenv("WALLET_CREW_API_KEY", f" {SECRET}\n")
    assert Settings().wallet_crew_api_key.get_secret_value() == SECRET


def test_slash_at_the_end_of_an_address_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL may end with a slash."""
    monkeypatch.setenv("WALLET_CREW_BASE_URL", "https://app.example.com/")
    assert Settings().wallet_crew_base_url == "https://app.example.com"


def test_identifiers_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of identifiers is a list of names, which may contain dots."""
    monkeypatch.setenv("IDENTIFIER_ORDER", "y2.customerId, email")
    assert Settings().identifier_order == ("y2.customerId", "email")


def test_files_lie_in_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data folder holds warehouse, published file and staging."""
    monkeypatch.setenv("DATA_DIR", "elsewhere")
    settings = Settings()
    assert {settings.warehouse_file, settings.bi_file, settings.staging_dir} == {
        Path("elsewhere/warehouse.duckdb"),
        Path("elsewhere/wallet_bi.duckdb"),
        Path("elsewhere/staging"),
    }


def test_missing_tenant_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a tenant the error names the setting, where its value comes from, and where to put it."""
    monkeypatch.setenv("WALLET_CREW_API_KEY", SECRET)
    with pytest.raises(MissingSettingError) as raised:
        Settings().wallet_crew_credentials()
    assert str(raised.value) == (
        "The setting WALLET_CREW_TENANT_ID is missing. The Wallet Crew tells it with the account: it is the path"
        " segment after /api/ in the addresses of its API. Put it into .env or the environment and run again."
    )


def test_missing_key_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an API key the error says which scopes the key needs."""
    monkeypatch.setenv("WALLET_CREW_TENANT_ID", "tenant")
    with pytest.raises(
        MissingSettingError, match=r"^The setting WALLET_CREW_API_KEY is missing\. .*Pass\.Read and Insights\.Read"
    ):
        Settings().wallet_crew_credentials()


def test_missing_token_is_explained() -> None:
    """Without a token the error says which scopes the token needs."""
    with pytest.raises(
        MissingSettingError,
        match=r"^The setting HUBSPOT_ACCESS_TOKEN is missing\. .*contacts\.read and crm\.objects\.contacts\.write",
    ):
        Settings().hubspot_credentials()


def test_credentials_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is handed out, the key still wrapped as a secret."""
    monkeypatch.setenv("WALLET_CREW_TENANT_ID", "tenant")
    monkeypatch.setenv("WALLET_CREW_API_KEY", SECRET)
    tenant, key = Settings().wallet_crew_credentials()
    assert (tenant, str(key), key.get_secret_value()) == ("tenant", "**********", SECRET)
