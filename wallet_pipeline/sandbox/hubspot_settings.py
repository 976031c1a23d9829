"""Switches of the CRM stand-in: each plays a variant of what is documented loosely or not at all."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Operation = Literal["create", "update", "upsert"]


class Settings(BaseModel):
    """All switches with what a fresh sandbox does."""

    model_config = ConfigDict(extra="forbid", strict=True)

    partial_status: Literal[207, "success"] = Field(
        default=207, description="status of a batch answer that holds errors"
    )
    trace_multistatus: list[Operation] = Field(
        default=["create", "update", "upsert"], description="operations in which trace ids allow partial success"
    )
    trace_in_errors: Literal["list", "string", "top_level"] = Field(
        default="list", description="where an entry names its row"
    )
    trace_in_results: bool = Field(default=True, description="results name the trace id of their input")
    num_errors: Literal["right", "wrong", "absent"] = Field(default="right", description="the member numErrors")
    missing_in_errors: bool = Field(default=True, description="ids that were not found are listed in errors")
    missing_untraced: Literal["partial", "fail"] = Field(
        default="partial", description="an update without trace ids that names a missing record"
    )
    duplicate_reads: Literal["once", "reject"] = Field(
        default="once", description="the same id twice in one batch read"
    )
    omit_result_ids: list[str] = Field(default=[], description="record ids that are left out of batch results")
    refuse_ids: list[str] = Field(
        default=[], description="ids, as inputs name them, whose writes break a rule of the account"
    )
    write_results: Literal["written", "empty"] = Field(
        default="written", description="properties in the results of a write"
    )
    shuffle: bool = Field(default=True, description="batch results come in another order than the inputs")
    datetime_out: Literal["iso", "no_ms", "epoch_ms"] = Field(
        default="iso", description="form of instants; no_ms drops the milliseconds that are zero"
    )
    null_values: Literal["null", "missing"] = Field(
        default="null", description="a requested property that has no value"
    )
    unknown_fields: Literal["ignored", "rejected"] = Field(
        default="ignored", description="unknown members of a JSON body"
    )
    required_arrays: Literal["optional", "required"] = Field(
        default="optional", description="arrays that the schema demands and the live service is said not to"
    )
    merge_style: Literal["new_id", "primary_id"] = Field(default="new_id", description="the id of a merged record")
    merge_fill: bool = Field(default=True, description="a merge fills the primary's empty properties")
    merged_update: Literal["dropped", "written"] = Field(
        default="dropped", description="a write by a merged-away id: it never appears in the results"
    )
    equal_write_history: bool = Field(default=False, description="writing an equal value makes a history entry")
    history: Literal["full", "required", "absent"] = Field(
        default="full", description="required leaves out the members that need not be there, absent the whole history"
    )
    history_order: Literal["newest_first", "oldest_first"] = Field(
        default="newest_first", description="order of a property's versions"
    )
    history_depth: int = Field(default=45, ge=0, description="versions of a property that are kept, the newest ones")
    validation_rules: dict[str, str] = Field(
        default={}, description="the account's own rules: property name -> regular expression its values must match"
    )
    rate_limit: int = Field(default=190, ge=0, description="requests per window and app")
    rate_window_ms: int = Field(default=10_000, gt=0, description="length of the rolling window")
    rate_limit_daily: int = Field(default=650_000, ge=0, description="requests per day and account")
    rate_headers: bool = Field(default=True, description="answers carry X-HubSpot-RateLimit headers")
    rate_count_rejected: bool = Field(default=True, description="answers 429 count as requests, too")

    def change(self, changes: dict[str, Any]) -> None:
        """Set the given switches, all or none; a wrong name or value raises pydantic's ValidationError."""
        checked = Settings.model_validate({**self.model_dump(), **changes})
        for name in changes:
            setattr(self, name, getattr(checked, name))
