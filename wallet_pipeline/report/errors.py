"""What can go wrong with the report."""

from wallet_pipeline.errors import ExplainedError


class ReportError(ExplainedError):
    """The report could not be made or written; the last good one is still in place."""
