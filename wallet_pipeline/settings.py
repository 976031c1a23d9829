"""Every setting: name, default, one sentence. The environment and `.env` are read here and nowhere else."""

import os
import re
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from dotenv.parser import Original, parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from wallet_pipeline.errors import ExplainedError

_SHORTEST_SECRET = 16
_SIMILAR = 0.75
_ZONES = available_timezones() - {"localtime"}  # which DuckDB does not know
_ADDRESS = re.compile(r"[^\s@,<>]+@[^\s@,<>]+")
# Settings without which no run can do its work, and where their values come from.
_NEEDED = {
    "WALLET_CREW_TENANT_ID": "The Wallet Crew tells it with the account: it is the path segment after /api/ in the"
    " addresses of its API.",
    "WALLET_CREW_API_KEY": "Create an API key with the scopes Pass.Read and Insights.Read in The Wallet Crew's back"
    " office.",
    "HUBSPOT_ACCESS_TOKEN": "Create a private app or service key in HubSpot with the scopes crm.objects.contacts.read"
    " and crm.objects.contacts.write.",
}

Paths = Annotated[tuple[str, ...], NoDecode]


class MissingSettingError(ExplainedError):
    """A setting that the step needs is empty; the message says which and where its value comes from."""

    def __init__(self, name: str, origin: str = "") -> None:
        origin = origin or _NEEDED[name]
        super().__init__(f"The setting {name} is missing. {origin} Put it into .env or the environment and run again.")


class InvalidSettingError(ExplainedError):
    """Settings have values that cannot be used; the message names them, and leaves the values out."""


class Settings(BaseSettings):
    """The settings, with their defaults. Durations are seconds; shares lie between 0 and 1."""

    # A value may be a secret that was put into the wrong place: errors name the setting and leave the value out.
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    wallet_crew_base_url: str = Field(
        "https://app.neostore.cloud", description="Base URL of The Wallet Crew; staging has its own."
    )
    wallet_crew_tenant_id: str = Field("", description="Your tenant's id at The Wallet Crew.")
    wallet_crew_api_key: SecretStr = Field(
        SecretStr(""), description="API key of the tenant with the scopes Pass.Read and Insights.Read."
    )
    wallet_crew_page_size: int = Field(
        1000, ge=1, le=10_000, description="Passes asked for per page; the server may give fewer."
    )
    wallet_crew_concurrency: int = Field(4, ge=1, le=32, description="Pages of a snapshot that are read at once.")
    insights_pass_id: str = Field(
        "passId", pattern=r"^\w+$", description="Property of an Insights event that holds the pass id."
    )
    insights_pass_type: str = Field(
        "passType", pattern=r"^\w+$", description="Property of an Insights event that holds the pass type."
    )
    insights_device: str = Field(
        "device", pattern=r"^\w+$", description="Property of an Insights event that holds the wallet."
    )
    insights_first_day: date = Field(
        date(2024, 1, 1),
        description="First UTC day of the partitions of `insights_daily`; earlier days are not offered.",
    )
    hubspot_base_url: str = Field("https://api.hubapi.com", description="Base URL of HubSpot's API.")
    hubspot_access_token: SecretStr = Field(
        SecretStr(""),
        description="Private-app token or service key with crm.objects.contacts.read and crm.objects.contacts.write.",
    )
    hubspot_api_version: str = Field("2026-09", description="Dated version of HubSpot's API.")
    hubspot_reserve: float = Field(
        0.1, ge=0, lt=1, description="Share of HubSpot's limits, of each ten seconds and of the day, for other apps."
    )
    crm_customer_property: str = Field(
        "customer_id", pattern=r"^[a-z][a-z0-9_]*$", description="The unique CRM property that holds the customer id."
    )
    crm_missing_contacts: Literal["create", "skip"] = Field(
        "create", description="What to do with a customer that the CRM does not know: `create` or `skip`."
    )
    identifier_order: Annotated[tuple[str, ...], NoDecode] = Field(
        ("customerId", "accountId", "email"),
        description="Identifier names that key a customer, best first, separated by commas.",
    )
    staleness: float = Field(60, ge=0, description="Seconds by which the Pass API may lag behind an event.")
    settle_window: float = Field(60, ge=0, description="Seconds of quiet before a change is sent to the CRM.")
    settle_cap: float = Field(600, ge=0, description="Seconds after which a change is sent though it is not quiet.")
    tolerance: float = Field(60, ge=0, description="Seconds by which times may differ and count as equal in the CRM.")
    min_snapshot_share: float = Field(
        0.9, ge=0, le=1, description="A snapshot with a smaller share of the last one's passes stops the run."
    )
    max_none_share: float = Field(
        0.05, ge=0, le=1, description="A run that turns a larger share of the customers to `none` stops."
    )
    max_none_customers: int = Field(
        50, ge=0, description="Up to this many customers may turn to `none` whatever their share."
    )
    max_unmatched_share: float = Field(
        0.1, ge=0, le=1, description="A larger share of passes without a customer is reported as a failed check."
    )
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Signature secrets of the webhook subscriptions, separated by commas; several while they rotate.",
    )
    connector_key: SecretStr = Field(
        SecretStr(""),
        description="Key that the connector sends as bearer token; at least 16 characters of your choice.",
    )
    event_type_at: Paths = Field(
        ("eventType", "type"),
        description="Where a delivery names the event type: dotted paths, tried at its top, then below `data`.",
    )
    event_id_at: Paths = Field(("eventId", "id"), description="Where a delivery names the event; else its SHA-256.")
    event_time_at: Paths = Field(
        ("timestamp",), description="Where a delivery says when it happened; else the time of receipt."
    )
    event_pass_id_at: Paths = Field(("passId",), description="Where a delivery names the pass.")
    event_pass_type_at: Paths = Field(("passType",), description="Where a delivery names the pass type.")
    event_wallet_at: Paths = Field(("device",), description="Where a delivery names the wallet, apple or google.")
    event_identifiers_at: Paths = Field(("identifiers",), description="Where a delivery holds the pass's identifiers.")
    event_active_count_at: Paths = Field(
        ("activeRegistrationCount", "additionalInformation.activeRegistrationCount"),
        description="Where a delivery counts the devices on which the pass is still installed.",
    )
    event_source_at: Paths = Field(
        ("registrationSource", "additionalInformation.registrationSource"),
        description="Where a delivery says where the registration came from: `medium` and `origin`, or a text.",
    )
    data_dir: Path = Field(
        Path("data"), description="Folder of the warehouse, the inbox, the analysts' files and the report."
    )
    warehouse_wait: float = Field(600, ge=0, description="Seconds to wait while another process has the warehouse.")
    schedule_time_zone: str = Field("UTC", description="Time zone of the daily schedule, such as Europe/Paris.")
    alert_webhook_url: SecretStr = Field(
        SecretStr(""), description="Web address to which alerts are posted as Slack takes them; a secret."
    )
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="E-mail addresses that alerts are sent to, separated by commas; needs `ALERT_SMTP_URL`."
    )
    alert_email_from: str = Field(
        "", description="E-mail address that alerts come from; empty: the first of `ALERT_EMAIL_TO`."
    )
    alert_smtp_url: SecretStr = Field(
        SecretStr(""),
        description="Mail server for alerts, such as smtp://user:password@mail.example.com:587, or smtps://; a secret.",
    )
    alert_drift_share: float = Field(
        0.05, ge=0, le=1, description="A larger share of the CRM's customers with drift within a day is alerted."
    )
    report_time_zone: str = Field("UTC", description="Time zone of the days, weeks and months of the trends.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let `.env` count before the environment, as Dagster's own command does: one order everywhere."""
        return init_settings, dotenv_settings, env_settings, file_secret_settings

    @field_validator("identifier_order", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if isinstance(names, list | tuple) and (not all(names) or len(set(names)) < len(names)):
            raise ValueError("IDENTIFIER_ORDER needs one or more different names, separated by commas.")
        if isinstance(names, list | tuple) and any(set(name) & set('="') for name in names):
            raise ValueError("A name in IDENTIFIER_ORDER may not contain = or a double quote.")
        return names

    @field_validator(
        "event_type_at", "event_id_at", "event_time_at", "event_pass_id_at", "event_pass_type_at", "event_wallet_at",
        "event_identifiers_at", "event_active_count_at", "event_source_at", mode="before",
    )  # fmt: skip
    @classmethod
    def _paths(cls, value: object) -> object:
        paths = [path.strip() for path in value.split(",")] if isinstance(value, str) else value
        if isinstance(paths, list | tuple) and not all(part for path in paths for part in path.split(".")):
            raise ValueError("A path is one or more names with dots between; several paths are separated by commas.")
        return paths

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _secrets(cls, value: object) -> object:
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    @field_validator("webhook_secrets", "connector_key")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...] | SecretStr) -> tuple[SecretStr, ...] | SecretStr:
        for one in value if isinstance(value, tuple) else (value,):
            if 0 < len(one.get_secret_value()) < _SHORTEST_SECRET:
                raise ValueError(f"A secret has at least {_SHORTEST_SECRET} characters: copy the whole of it.")
        return value

    @field_validator("wallet_crew_base_url", "hubspot_base_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            is_whole = bool(host) and parts.port != 0 and value.isascii() and not any(map(str.isspace, value))
        except ValueError:
            is_whole = False
        if not is_whole or parts.scheme not in {"https", "http"} or parts.username or parts.query or parts.fragment:
            raise ValueError(
                "A base URL is written as https://api.hubapi.com: with a host, and without user, password, ? and #."
            )
        if parts.scheme == "http" and not (host in {"localhost", "::1"} or host.startswith("127.")):
            raise ValueError(
                "A base URL begins with https://, for a key is sent there; http:// is for this machine alone."
            )
        return value.rstrip("/")

    @field_validator("alert_email_to", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    @field_validator("alert_email_to", "alert_email_from")
    @classmethod
    def _mailable(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        for one in value if isinstance(value, tuple) else (value,):
            if one and not _ADDRESS.fullmatch(one):
                raise ValueError("An e-mail address is written as ops@example.com, without a name before it.")
        return value

    @field_validator("alert_webhook_url")
    @classmethod
    def _postable(cls, value: SecretStr) -> SecretStr:
        return _url(value, ("https", "http"), "A webhook's address begins with https://, or http:// on this machine.")

    @field_validator("alert_smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr) -> SecretStr:
        return _url(
            value,
            ("smtp", "smtps"),
            "A mail server is written as smtp://user:password@host:587 or smtps://user:password@host:465; in user and"
            " password @ is %40, : is %3A and / is %2F.",
        )

    @field_validator("wallet_crew_api_key", "hubspot_access_token", "connector_key")
    @classmethod
    def _sendable(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().strip()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("A key or token has no spaces, line breaks or accented letters: copy it again.")
        return SecretStr(text)

    @field_validator("schedule_time_zone", "report_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in _ZONES:
            raise ValueError(
                "A time zone is named as in the IANA database, such as Europe/Paris; capitals and blanks count."
            )
        return value

    @cached_property
    def warehouse_file(self) -> Path:
        """The DuckDB file that the pipeline alone opens."""
        return self.data_dir / "warehouse.duckdb"

    @cached_property
    def report_file(self) -> Path:
        """The page for marketers."""
        return self.data_dir / "report.html"

    @cached_property
    def bi_file(self) -> Path:
        """The read-only DuckDB file for analysts."""
        return self.data_dir / "wallet_bi.duckdb"

    @cached_property
    def inbox_file(self) -> Path:
        """The SQLite file in which the receiver keeps what it accepted."""
        return self.data_dir / "inbox.sqlite"

    @cached_property
    def alerts_file(self) -> Path:
        """The SQLite file that says what people were told of, and what is still to be sent."""
        return self.data_dir / "alerts.sqlite"

    @cached_property
    def staging_dir(self) -> Path:
        """Work files of runs; each is removed when its content is merged."""
        return self.data_dir / "staging"

    def wallet_crew_credentials(self) -> tuple[str, SecretStr]:
        """Return tenant id and API key; raises MissingSettingError."""
        self._require("WALLET_CREW_TENANT_ID", "WALLET_CREW_API_KEY")
        return self.wallet_crew_tenant_id, self.wallet_crew_api_key

    def hubspot_credentials(self) -> SecretStr:
        """Return the access token; raises MissingSettingError."""
        self._require("HUBSPOT_ACCESS_TOKEN")
        return self.hubspot_access_token

    @property
    def alerts_are_on(self) -> bool:
        """Whether anybody is to be told of anything."""
        return bool(self.alert_webhook_url.get_secret_value() or self.alert_email_to)

    @property
    def missing(self) -> dict[str, str]:
        """The settings that every run needs and that are empty, by name, each with where its value comes from."""
        return {name: origin for name, origin in _NEEDED.items() if not _text(getattr(self, name.lower()))}

    def _require(self, *names: str) -> None:
        for name in names:
            if name in self.missing:
                raise MissingSettingError(name)


def load_settings() -> Settings:
    """Read the settings; raises InvalidSettingError."""
    settings, unusable = read_settings()
    if unusable:
        wrong = " ".join(f"{name}: {reason}" for name, reason in unusable.items())
        raise InvalidSettingError(f"Settings that cannot be used: {wrong} Correct them in .env or the environment.")
    return settings


def read_settings() -> tuple[Settings, dict[str, str]]:
    """Read the settings, and the reason for each that cannot be used; the default stands in for such a one.

    Raises InvalidSettingError when `.env` cannot be read at all. A reason is a sentence, without the value.
    """
    try:
        _check_lines()
        settings = Settings()
        return settings, _unusable_folder(settings.data_dir)
    except ValidationError as error:
        reasons = {str(one["loc"][0]): one["msg"].removeprefix("Value error, ") for one in error.errors()}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(
            f"The file .env cannot be read: {type(error).__name__}. Save it as text in UTF-8."
        ) from None
    defaults = {name: Settings.model_fields[name].default for name in reasons}
    usable = Settings(**defaults)
    unusable = {name.upper(): f"{reason.rstrip('.')}." for name, reason in reasons.items()}
    return usable, _unusable_folder(usable.data_dir) | unusable


def _unusable_folder(folder: Path) -> dict[str, str]:
    """Return why no run can keep anything in the data folder, which need not be there yet, by the setting's name."""
    # Path.exists raises where a folder above may not be entered.
    there = next(one for one in (folder, *folder.parents) if os.path.exists(one))  # noqa: PTH110
    if not there.is_dir():
        return {"DATA_DIR": "It, or what lies above it, is a file. Name a folder, or move that file away."}
    if not os.access(there, os.W_OK | os.X_OK):
        return {"DATA_DIR": "This user may not write there. Give the user the right, or name another folder."}
    return {}


def mistyped_settings() -> dict[str, str]:
    """Return the names in `.env` that are no settings but look like one, each with the setting that it looks like."""
    known = Settings.model_fields
    likely = {name: get_close_matches(name, known, n=1, cutoff=_SIMILAR) for name in _env_file() if name not in known}
    return {name.upper(): found[0].upper() for name, found in likely.items() if found}


def settings_given_twice() -> list[str]:
    """Return the settings to which `.env` and the environment give different values: that of `.env` counts."""
    environment = {name.lower(): value for name, value in os.environ.items() if value}
    ours = {name: value for name, value in _env_file().items() if name in Settings.model_fields and value}
    return [name.upper() for name, value in ours.items() if environment.get(name, value) != value]


def _check_lines() -> None:
    """Raise InvalidSettingError when `.env` has lines that would be passed over; not quoted, for one may be a key."""
    file = Path(".env")
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as stream:
        lines = [str(_first_line(one.original)) for one in parse_stream(stream) if one.error]
    if lines:
        raise InvalidSettingError(
            f"The file .env cannot be read at line {', '.join(lines)}. Write NAME=value there, close the quotes, or"
            " begin the line with # to leave it out."
        )


def _first_line(part: Original) -> int:
    """Return the number of the line; the parser counts the blank lines before it in."""
    blank = part.string[: len(part.string) - len(part.string.lstrip())]
    return part.line + blank.count("\n")


def _env_file() -> Mapping[str, str | None]:
    """Return what stands in `.env`, by names in lower case."""
    return DotEnvSettingsSource(Settings).env_vars


def _url(value: SecretStr, schemes: tuple[str, ...], advice: str) -> SecretStr:
    """Return an address without the white space around it; raises ValueError with the advice, never with the value."""
    text = value.get_secret_value().strip()
    try:
        url = urlsplit(text)
        is_usable = url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    if text and not (is_usable and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError(advice)
    return SecretStr(text)


def _text(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
