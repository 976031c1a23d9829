"""The texts of `sql/`."""

from importlib.resources import files


def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (files("wallet_pipeline.support.forget") / "sql" / f"{name}.sql").read_text()
