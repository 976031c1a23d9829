"""Tables in the UI."""

from wallet_pipeline.defs.tables import markdown_table


def test_value_stays_in_its_cell() -> None:
    """A message of the CRM with a bar or a line break ends neither its cell nor its row; nothing is an empty cell."""
    assert markdown_table(["message"], [["a|b\nc"], [None]]).value == "| message |\n| --- |\n| a\\|b c |\n|  |"
