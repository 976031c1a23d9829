"""What assets need from outside: the settings, and what is opened with them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb

from wallet_pipeline.clients.wallet_crew import WalletCrew
from wallet_pipeline.derive.statuses import StatusRules
from wallet_pipeline.errors import ExplainedError
from wallet_pipeline.settings import InvalidSettingError, Settings, load_settings
from wallet_pipeline.warehouse.connection import connect


class Extent(dg.Config):
    """Whether a step concerns all customers, or those whom events have changed."""

    changes_only: bool = False


class Pipeline(dg.ConfigurableResource[None]):
    """The settings, read from the environment and `.env` when an asset asks; it has no fields, so the UI shows none."""

    def settings(self) -> Settings:
        """Return the settings."""
        return load_settings()

    def open_warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse, waiting for its turn."""
        settings = self.settings()
        return connect(settings.warehouse_file, settings.warehouse_wait)

    def wallet_crew(self) -> WalletCrew:
        """Return a client of The Wallet Crew."""
        settings = self.settings()
        return WalletCrew(settings.wallet_crew_base_url, *settings.wallet_crew_credentials())

    def rules(self) -> StatusRules:
        """Return the settings of the status rules."""
        settings = self.settings()
        return StatusRules(timedelta(seconds=settings.staleness), settings.identifier_order)


def settings_of_definitions() -> Settings:
    """Return the settings for what must be known before any run.

    When one is wrong these are the defaults: the project loads all the same, and each asset says what is wrong.
    """
    try:
        return load_settings()
    except InvalidSettingError:
        return Settings.model_construct()


def now() -> datetime:
    """Return this moment, aware, UTC."""
    return datetime.now(UTC)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a stage raises to explain itself into a failure that shows just the explanation."""
    try:
        yield
    except ExplainedError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except (duckdb.Error, OSError) as error:
        raise dg.Failure(_disk_or_database(error), allow_retries=False) from error


def _disk_or_database(error: Exception) -> str:
    what = str(error).splitlines()[0]
    if "No space left" in what or "not enough disk space" in what.lower():
        return f"The disk is full: {what}. Free some space and run again; the last good tables are in place."
    return f"{what}. The last good tables are in place; mend the cause and run again."


@dg.definitions
def resources() -> dg.Definitions:
    """Return the resources by the names under which assets ask for them."""
    return dg.Definitions(resources={"pipeline": Pipeline()})
