"""Tables in the UI."""

from wallet_pipeline.defs.tables import markdown_table


def test_value_stays_in_its_cell() -> None:
    """A message of the CRM with a bar or a line break ends neither its cell nor its row; nothing is an empty cell."""
    assert markdown_table(["message"], [["a|b\nc"], [None]]).value == "| message |\n| --- |\n| a\\|b c |\n|  |"


def test_customers_are_shown_without_e_mails() -> None:
    """Whatever identifier holds an e-mail is shown without it; other keys, and other columns, stand as they are."""
    rows = [
        ["email=ann@x.test", "email=1"],
        ["customerId=ann\n@x.test", None],
        ["email=ann\nx", None],
        ["customerId=C-1", None],
        [None, None],
    ]
    shown = "| email=… | email=1 |\n| customerId=… |  |\n| email=… |  |\n| customerId=C-1 |  |\n|  |  |"
    assert markdown_table(["customer", "changes"], rows).value == f"| customer | changes |\n| --- | --- |\n{shown}"
