"""Switches of the webhooks: what the vendor's documentation leaves open, and mischief on the way."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class WebhookSettings(BaseModel):
    """All switches with what a fresh sandbox does. Shares lie between 0 and 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    secret_in_reads: bool = Field(default=True, description="every answer shows the secret, not just the creation's")

    signature: Literal["hex", "hex_upper", "base64"] = Field(default="hex", description="how the HMAC is written")
    signature_prefix: bool = Field(default=False, description="`sha256=` stands before it")
    envelope: Literal["top_level", "data"] = Field(
        default="top_level", description="where everything but the event type stands"
    )
    event_names: Literal["colon", "dotted"] = Field(default="colon", description="Pass:Installed or pass.installed")
    with_event_id: bool = Field(default=True, description="payloads carry eventId")
    with_timestamp: bool = Field(default=True, description="payloads carry timestamp")
    with_identifiers: bool = Field(default=True, description="payloads carry the pass's identifiers and metadata")
    with_active_count: bool = Field(default=True, description="payloads carry activeRegistrationCount")
    with_source: bool = Field(default=False, description="payloads of installs carry registrationSource")
    with_secret: bool = Field(default=False, description="payloads carry the pass's secret, which nobody may keep")

    delay_seconds: float = Field(default=0, ge=0, description="every event is sent that much later")
    shuffle_seconds: float = Field(default=0, ge=0, description="and up to that much more by chance: out of order")
    duplicate_share: float = Field(default=0, ge=0, le=1, description="events that are sent twice")
    again_share: float = Field(default=0, ge=0, le=1, description="events that are sent again later")
    again_after_seconds: float = Field(default=120, ge=0, description="how much later")
    badly_signed_share: float = Field(default=0, ge=0, le=1, description="events beside which a forged one is sent")
    lost_share: float = Field(default=0, ge=0, le=1, description="events that are never sent")

    answer_seconds: float = Field(default=30, gt=0, description="a later answer counts as none")
    attempts: int = Field(default=10, ge=1, description="how often a delivery is tried before it is given up")
    retry_seconds: float = Field(default=1, gt=0, description="first pause between attempts; each is twice the last")

    def change(self, changes: dict[str, Any]) -> None:
        """Set the given switches, all or none; a wrong name or value raises pydantic's ValidationError."""
        checked = WebhookSettings.model_validate({**self.model_dump(), **changes})
        for name in changes:
            setattr(self, name, getattr(checked, name))
