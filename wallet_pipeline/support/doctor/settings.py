"""Are the settings usable, complete, and spelled as they are read."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wallet_pipeline.settings import Settings, mistyped_settings, settings_given_twice
from wallet_pipeline.support.doctor.finding import Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import Installation

_SIGNATURE_SECRET = 64


def examine_settings(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the settings; never the value of one."""
    settings = installation.settings
    return each(
        {
            "usable": partial(_usable, installation),
            "complete": partial(_complete, installation),
            "spelling": _spelling,
            "given twice": _given_twice,
            "signature secrets": partial(_signature_secrets, settings),
        }
    )


def _usable(installation: Installation) -> Iterator[Finding]:
    for name, reason in installation.unusable.items():
        yield problem(f"{name} cannot be used: {reason}", "Correct it in .env or the environment.")
    if not installation.unusable:
        given = sorted(name.upper() for name in installation.settings.model_fields_set)
        yield ok(f"All {len(Settings.model_fields)} settings are usable; given are {', '.join(given) or 'none'}.")


def _complete(installation: Installation) -> Iterator[Finding]:
    missing = {name: why for name, why in installation.settings.missing.items() if name not in installation.unusable}
    where = ".env" if Path(".env").exists() else f".env (there is none in {Path.cwd()})"
    for name, origin in missing.items():
        yield problem(f"{name} is missing.", f"{origin} Put it into {where} or the environment.")
    if not missing:
        yield ok("What every run needs is given.")


def _spelling() -> Iterator[Finding]:
    mistyped = mistyped_settings()
    for name, likely in mistyped.items():
        yield warning(f"{name} in .env is no setting: nothing reads it.", f"Write {likely}, if that is meant.")
    if not mistyped:
        yield ok("No name in .env looks like a setting without being one.")


def _given_twice() -> Iterator[Finding]:
    for name in settings_given_twice():
        yield warning(
            f"{name} has one value in .env and another one in the environment: that in .env counts.",
            "Take one of them away.",
        )


def _signature_secrets(settings: Settings) -> Iterator[Finding]:
    for place, secret in enumerate(settings.webhook_secrets, start=1):
        if (length := len(secret.get_secret_value())) != _SIGNATURE_SECRET:
            yield warning(
                f"Secret {place} in WEBHOOK_SECRETS has {length} characters; those of The Wallet Crew have"
                f" {_SIGNATURE_SECRET}.",
                "Copy the whole of it, without quotes.",
            )
