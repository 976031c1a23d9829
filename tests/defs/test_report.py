"""The report and the pictures of the trends, as a daily run through Dagster leaves them."""

import re
from datetime import timedelta

import pytest

from .conftest import Project, now


def test_daily_run_draws_the_report(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report lies in the data folder, tells the time zone of the setting, and its numbers are plotted."""
    monkeypatch.setenv("REPORT_TIME_ZONE", "America/New_York")
    last = now().date()
    days = {"start": last - timedelta(days=40), "end": last}
    tags = {f"dagster/asset_partition_range_{edge}": str(day) for edge, day in days.items()}
    assert project.run("insights", tags=tags).success
    result = project.run()
    assert result.success
    file = project.data.folder / "report.html"
    page = file.read_text()
    told = project.metadata(result, "adoption_report")
    (installed,) = project.rows("SELECT count(*) FILTER (wallet = 'apple') FROM wallet.registers WHERE installed")[0]
    assert (told["installed_apple"], told["bytes"], told["file"]) == (installed, file.stat().st_size, str(file))
    assert f'<dd data-number="installed_apple">{installed:,}</dd>' in page
    assert "are those of America/New_York;" in page
    assert len(re.findall("<svg", page)) > 5
    assert project.metadata(result, "installations")["installed_apple"] == installed
    assert "](data:image/svg+xml," in project.metadata(result, "adoption_daily")["by_day"]
    statuses = project.rows(
        "SELECT 'customers_' || wallet_status, count(*) FROM wallet.customer_wallet_status GROUP BY ALL"
    )
    assert dict(statuses).items() <= project.metadata(result, "status_daily").items()


def test_report_that_cannot_be_written_fails_alone(project: Project) -> None:
    """A report that cannot be put in place fails with the reason; the CRM and the analysts' file are served."""
    (project.data.folder / "report.html").mkdir(parents=True)
    result = project.run()
    assert not result.success
    assert "report.html is a folder. Move it away or rename it" in project.failure(result, "adoption_report")
    assert project.bi("SELECT DISTINCT outcome FROM crm_deliveries") == [("verified",)]


def test_unusable_setting_is_explained(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that cannot be used is named as every other step names it."""
    monkeypatch.setenv("REPORT_TIME_ZONE", "Nowhere")
    failure = project.failure(project.run(assets=["adoption_report"]), "adoption_report")
    assert failure.startswith("Settings that cannot be used: REPORT_TIME_ZONE: A time zone is named")
