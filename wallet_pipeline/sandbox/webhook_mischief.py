"""What befalls an event on its way to a webhook. All chance is the world's seed: equal seeds give equal mischief."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from wallet_pipeline.sandbox.webhook_settings import WebhookSettings

Kind = Literal["first", "duplicates", "sent_again", "badly_signed"]


@dataclass(frozen=True)
class Copy:
    """One sending of an event: what it is, and seconds to wait before it."""

    kind: Kind
    wait: float


class Chance:
    """Draws for one event: each label has its own, the same whenever it is asked for."""

    def __init__(self, *names: object) -> None:
        self._names = "/".join(map(str, names))

    def draw(self, label: str) -> float:
        """Return a number from 0 to below 1."""
        digest = hashlib.sha256(f"{self._names}/{label}".encode()).digest()
        return (int.from_bytes(digest[:8]) >> 11) / 2**53


def copies(settings: WebhookSettings, chance: Chance) -> list[Copy]:
    """Return the sendings of an event; none when it gets lost."""
    if chance.draw("lost") < settings.lost_share:
        return []
    first = _wait(settings, chance, "first")
    planned = [Copy("first", first)]
    if chance.draw("duplicate") < settings.duplicate_share:
        planned.append(Copy("duplicates", _wait(settings, chance, "second")))
    if chance.draw("again") < settings.again_share:
        planned.append(Copy("sent_again", first + settings.again_after_seconds))
    if chance.draw("badly signed") < settings.badly_signed_share:
        planned.append(Copy("badly_signed", _wait(settings, chance, "forged")))
    return planned


def _wait(settings: WebhookSettings, chance: Chance, which: str) -> float:
    return settings.delay_seconds + settings.shuffle_seconds * chance.draw(f"{which} shuffled")
