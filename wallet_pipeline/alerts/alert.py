"""An alert as people read it, and what of a text may stand in one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.settings import Settings

_LONGEST = 1500
_SHORTEST_SECRET = 4
_ADDRESS = re.compile(r"[^\s@:=,;<>()\[\]\"`]+@[^\s@,;<>()\[\]\"'`]*[^\s@,;.<>()\[\]\"'`]")


class AlertError(ExplainedError):
    """An alert could not be sent; the message says why and what to do, and names no secret."""


@dataclass(frozen=True)
class Alert:
    """What happened, why, what to do next, and which run tells more: each in plain words, in one line."""

    title: str
    reason: str
    next_step: str
    source: str

    @property
    def text(self) -> str:
        """The whole of it but for the title."""
        return f"Why: {self.reason}\nNext: {self.next_step}\n{self.source}"


@dataclass(frozen=True)
class Redaction:
    """Takes out of a text what must not leave this machine: secrets, e-mail addresses, and whom an identifier names."""

    secrets: tuple[str, ...] = field(repr=False)
    identifiers: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> "Redaction":
        """Return one that knows the settings' secrets and the names of the identifiers."""
        return cls(tuple(sorted(set(_secrets(settings)), key=len, reverse=True)), settings.identifier_order)

    def __call__(self, text: str) -> str:
        """Return the text in one line, without all that, cut where it is very long."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        for name in self.identifiers:
            text = re.sub(rf"\b{re.escape(name)}=[^\s,;)]+", f"{name}=…", text)
        text = " ".join(_ADDRESS.sub("…@…", text).split())
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _secrets(settings: Settings) -> Iterator[str]:
    """Yield what the secret settings hold, and of an address what makes it a secret: its password, or its path."""
    for value in vars(settings).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, SecretStr):
                text = one.get_secret_value()
                url = urlsplit(text if "://" in text else "")
                parts = (text, url.password or "", unquote(url.password or ""), url.path)
                yield from (part for part in parts if len(part) >= _SHORTEST_SECRET)
