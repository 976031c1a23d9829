"""Tables in the UI."""

from wallet_pipeline.defs.tables import markdown_table


def test_value_stays_in_its_cell() -> None:
    """A message of the CRM with a bar or a line break ends neither its cell nor its row; nothing is an empty cell."""
    assert markdown_table(["message"], [["a|b\nc"], [None]]).value == "| message |\n| --- |\n| a\\|b c |\n|  |"


def test_customers_are_shown_without_e_mails() -> None:
    """A customer whose key is an e-mail is shown without it; other keys, and other columns, stand as they are."""
    rows = [["email=ann@x.test", "email=1"], ["customerId=C-1", None]]
    shown = "| email=… | email=1 |\n| customerId=C-1 |  |"
    assert markdown_table(["customer", "changes"], rows).value == f"| customer | changes |\n| --- | --- |\n{shown}"
