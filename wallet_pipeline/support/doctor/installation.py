"""What the doctor looks at: one installation, as its settings describe it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from wallet_pipeline.clients.http import TimeLimits
from wallet_pipeline.settings import Settings

# The doctor is asked by somebody who waits.
LIMITS = TimeLimits(connect=4, silence=8, answer=10, call=12)
ATTEMPTS = 2
WAREHOUSE_WAIT_S = 5.0


@dataclass(frozen=True)
class Installation:
    """The settings, the reasons for those that cannot be used, and where the receiver and Dagster's storage are.

    The default stands in for a setting that cannot be used. `clock` gives aware times. With `sends_alert` a test alert
    is sent by each channel; else nothing is written anywhere.
    """

    settings: Settings
    unusable: Mapping[str, str]
    receiver_url: str
    dagster_home: Path
    clock: Callable[[], datetime]
    sends_alert: bool = False

    @property
    def is_real_time(self) -> bool:
        """Whether the settings let a receiver accept anything."""
        return bool(self.settings.webhook_secrets or self.settings.connector_key.get_secret_value())
