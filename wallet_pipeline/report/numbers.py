"""Numbers as people read them."""


def count(value: int) -> str:
    """Return a number of passes or customers."""
    return f"{value:,}"


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{value:.1%}"


def hours(value: float) -> str:
    """Return a length of time in hours."""
    return f"{value:,.1f}"


def whole_percent(value: float) -> str:
    """Return a share in percent, as short as a cell is small."""
    return f"{value:.0%}"
