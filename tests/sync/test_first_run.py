"""The first run links or creates every customer; the second finds nothing to do."""

from tests.sync.conftest import APPLE, GOOGLE, NONE, Account, Pipeline


def test_first_run_links_by_customer_id_and_by_email_and_creates_the_rest(account: Account, pipeline: Pipeline) -> None:
    """Each customer ends on the right record: by id, by e-mail, or a new one."""
    by_id = account.add(email="ann@x.test", customer_id="C-1")
    by_email = account.add(email="bob@x.test")
    pipeline.customer("customerId=C-1", APPLE, email="other@x.test")
    pipeline.customer("customerId=C-2", GOOGLE, email="bob@x.test")
    pipeline.customer("customerId=C-3", NONE, email="cleo@x.test")
    result = pipeline.run()
    assert (result.linked, result.created, result.written, result.verified) == (2, 1, 3, 3)
    contacts = account.contacts()
    held = {one["customer_id"]: (record_id, one["wallet_status"]) for record_id, one in contacts.items()}
    created = next(record_id for record_id, one in contacts.items() if one["email"] == "cleo@x.test")
    assert held == {"C-1": (by_id, "apple"), "C-2": (by_email, "google"), "C-3": (created, "none")}
