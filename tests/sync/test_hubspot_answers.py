"""What HubSpot answers is joined with what was sent by name, never by place, and each refusal has its class."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sync.conftest import Account
from tests.sync.faults import bad_value, refused
from wallet_pipeline.clients.http import UnreachableError
from wallet_pipeline.clients.hubspot import RefusedError
from wallet_pipeline.sync.destination import Receipt, Write
from wallet_pipeline.sync.hubspot import HubSpotDestination

STATUS = {"wallet_status": "apple"}
BATCHES = "batch/(update|upsert|create)"


@pytest.fixture
def destination(account: Account) -> Iterator[HubSpotDestination]:
    """Return the account as a destination whose client gives up soon."""
    with account.client() as client:
        yield HubSpotDestination(client, "customer_id")


def update(number: int, record_id: str, customer_id: str | None = None, *, refused_before: bool = False) -> Write:
    """Return a write to a record."""
    return Write(f"t{number}", record_id, customer_id, None, STATUS, refused_before)


def upsert(number: int) -> Write:
    """Return a write by customer id."""
    return Write(f"t{number}", None, f"C-{number}", f"c{number}@x.test", STATUS)


def create(number: int) -> Write:
    """Return a write that makes a contact by its e-mail."""
    return Write(f"t{number}", None, None, f"c{number}@x.test", STATUS)


def updates(account: Account, count: int) -> list[Write]:
    """Return writes to records that carry the numbers of the writes."""
    return [update(number, account.add(email=f"c{number}@x.test")) for number in range(count)]


def outcomes(receipts: list[Receipt]) -> dict[str, str]:
    """Return the outcome of each write by trace id."""
    return {one.trace_id: one.outcome for one in receipts}


def lie(account: Account, path: str, **changes: Any) -> None:
    """Change the JSON of the next answer."""
    account.spoil(path, "json", **changes)


@pytest.mark.parametrize("named_by", ["trace id", "key"])
@pytest.mark.parametrize("kind", ["update", "upsert", "create"])
def test_rows_that_look_alike_are_told_apart(
    account: Account, destination: HubSpotDestination, kind: str, named_by: str
) -> None:
    """Forty equal rows are answered in another order, and each receipt leads to the contact of its own customer."""
    account.switch(trace_in_results=named_by == "trace id")
    made = {"upsert": [upsert(number) for number in range(40)], "create": [create(number) for number in range(40)]}
    receipts = destination.write(made.get(kind) or updates(account, 40))
    contacts = account.contacts()
    assert [contacts[str(one.record_id)]["email"] for one in receipts] == [f"c{number}@x.test" for number in range(40)]
    assert {one.outcome for one in receipts} == {"accepted"}


def test_results_that_name_nobody_are_nobodys(account: Account, destination: HubSpotDestination) -> None:
    """Without trace ids and properties nothing tells whose a new contact is: unknown, to be settled by reading."""
    account.switch(trace_in_results=False, write_results="empty")
    receipts = destination.write([upsert(1), upsert(2)])
    assert [(one.outcome, one.record_id) for one in receipts] == [("unknown", None)] * 2


def test_an_error_about_a_record_is_no_other_customers(account: Account, destination: HubSpotDestination) -> None:
    """A customer whose number is the id of another one's record does not get that one's error."""
    one, other = account.add(email="a@x.test"), account.add(email="b@x.test")
    missing = {"category": "OBJECT_NOT_FOUND", "message": "Could not get some", "context": {"ids": [one]}}
    lie(account, "batch/update", set={"errors": [missing]})
    receipts = destination.write([update(1, one), update(2, other, customer_id=one)])
    assert outcomes(receipts) == {"t1": "failed", "t2": "accepted"}


def test_an_error_that_names_no_row_is_told(
    account: Account, destination: HubSpotDestination, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands in the log, and with the row that the answer leaves out, whose fate it may be."""
    caplog.set_level(logging.WARNING)
    nameless = {"category": "VALIDATION_ERROR", "message": "c1@x.test is bad"}
    lie(account, "batch/update", omit=1, set={"errors": [nameless]})
    receipts = destination.write(updates(account, 2))
    (left_out,) = [one for one in receipts if one.outcome == "unknown"]
    assert (str(left_out.message).endswith("does not name: … is bad"), "… is bad" in caplog.text) == (True, True)


def test_an_error_that_names_no_row_is_the_only_ones(account: Account, destination: HubSpotDestination) -> None:
    """Of a row that was sent alone, an error needs no name."""
    lie(account, "batch/update", omit=1, set={"errors": ["it is bad"]})
    (receipt,) = destination.write(updates(account, 1))
    assert (receipt.outcome, receipt.error_class, receipt.message) == ("failed", "data", "it is bad")


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "CANCELED"])
def test_an_unfinished_answer_acknowledges_nothing(
    account: Account, destination: HubSpotDestination, status: str
) -> None:
    """Its results count for nothing."""
    lie(account, "batch/update", set={"status": status})
    (receipt,) = destination.write(updates(account, 1))
    assert (receipt.outcome, status in str(receipt.message)) == ("unknown", True)


@pytest.mark.parametrize(
    ("said", "error_class"),
    [
        (bad_value("INVALID_LONG", "no long"), "data"),
        (bad_value("INVALID_DATE", "no date"), "data"),
        (bad_value("INVALID_EMAIL", "no address"), "data"),
        (bad_value("PROPERTY_VALIDATION_RULE", "a rule"), "data"),
        (refused(400, "something new", "A_NEW_CATEGORY"), "data"),
        (bad_value("CONFLICTING_UNIQUE_VALUE", "taken"), "identity"),
        (refused(409, "Contact already exists. Existing ID: 501", "CONFLICT"), "identity"),
        (refused(404, "Could not get some CONTACT objects", "OBJECT_NOT_FOUND"), "identity"),
        (refused(414, "Cannot have more than 250 identities on a profile"), "identity"),
        (bad_value("PROPERTY_DOESNT_EXIST", "none"), "config"),
        (bad_value("INVALID_OPTION", "no option"), "config"),
        (bad_value("READ_ONLY_VALUE", "read-only"), "config"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else value["body"]["message"][:40],
)
def test_a_refusal_has_its_class(
    account: Account, destination: HubSpotDestination, said: dict[str, Any], error_class: str
) -> None:
    """A row that is refused alone is sorted by code, category and status."""
    account.spoil(BATCHES, "status", status=said["status"], body=said["body"])
    (receipt,) = destination.write(updates(account, 1))
    assert (receipt.outcome, receipt.error_class) == ("failed", error_class)


@pytest.mark.parametrize(
    ("category", "outcome", "error_class"),
    [
        ("VALIDATION_ERROR", "failed", "data"),
        ("CONFLICT", "failed", "identity"),
        ("MISSING_SCOPES", "failed", "config"),
        ("RATE_LIMITS", "unknown", "quota"),
        ("SOMETHING_NEW", "unknown", "transient"),
    ],
)
def test_an_entry_of_an_answer_has_its_class(
    account: Account, destination: HubSpotDestination, category: str, outcome: str, error_class: str
) -> None:
    """What may pass is tried again; it is no refusal of the row."""
    entry = {"category": category, "message": "x", "context": {"objectWriteTraceId": ["t0"]}}
    lie(account, "batch/update", omit=1, set={"errors": [entry]})
    (receipt,) = destination.write(updates(account, 1))
    assert (receipt.outcome, receipt.error_class) == (outcome, error_class)


def test_who_has_the_key_is_told(account: Account, destination: HubSpotDestination) -> None:
    """A clash names the record that has the customer id already, with the id that HubSpot gives."""
    owner = account.add(email="a@x.test", customer_id="C-1")
    (receipt,) = destination.write([update(1, account.add(email="b@x.test"), customer_id="C-1")])
    assert (receipt.error_class, receipt.message) == (
        "identity",
        f"customer_id: CONFLICTING_UNIQUE_VALUE (record {owner})",
    )


def test_a_rule_of_the_account_is_told_in_its_own_words(account: Account, destination: HubSpotDestination) -> None:
    """A code that nobody knows comes with what HubSpot says about it, without the value."""
    rule = bad_value("PROPERTY_VALIDATION_RULE", "C-1 must have four digits", "customer_id")
    account.spoil(BATCHES, "status", status=400, body=rule["body"])
    (receipt,) = destination.write([upsert(1)])
    assert receipt.message == "customer_id: PROPERTY_VALIDATION_RULE (… must have four digits)"


def test_problems_in_a_refusals_parts_are_read(account: Account, destination: HubSpotDestination) -> None:
    """Codes stand in the message, in the messages of its parts, or beside those; each is found."""
    inside = bad_value("READ_ONLY_VALUE", "x", "wallet_status")["body"]["message"]
    for part in (
        {"message": inside},
        {"message": "x", "code": "READ_ONLY_VALUE", "context": {"propertyName": ["wallet_status"]}},
    ):
        account.spoil(BATCHES, "status", status=400, body={"message": "Some are wrong", "errors": [part]})
        (receipt,) = destination.write([upsert(1)])
        assert (receipt.error_class, receipt.message) == ("config", "wallet_status: READ_ONLY_VALUE")


def test_a_refused_property_is_not_looked_for_row_by_row(account: Account, destination: HubSpotDestination) -> None:
    """No other row would fare better: one request settles the batch."""
    said = bad_value("PROPERTY_DOESNT_EXIST", "there is none")
    account.spoil(BATCHES, "status", times=50, status=400, body=said["body"])
    receipts = destination.write(updates(account, 8))
    assert ({one.error_class for one in receipts}, account.requests()["update"]) == ({"config"}, 1)


def test_the_same_record_twice_is_written_twice(account: Account, destination: HubSpotDestination) -> None:
    """A batch that is refused for an id that stands in it twice is divided until it does not."""
    record_id = account.add(email="a@x.test")
    writes = [update(number, record_id) for number in range(2)] + updates(account, 6)
    assert {one.outcome for one in destination.write(writes)} == {"accepted"}


@pytest.mark.parametrize(("bad", "most"), [([0], 12), ([37], 12), ([99], 12), ([0, 37], 22), ([0, 20, 40, 60, 80], 45)])
def test_bad_rows_cost_no_more_than_is_promised(
    account: Account, destination: HubSpotDestination, bad: list[int], most: int
) -> None:
    """Where the batch is refused as a whole, the rows to blame are found with few requests, and all others land."""
    writes = updates(account, 100)
    account.switch(trace_multistatus=[], refuse_ids=[writes[number].record_id for number in bad])
    receipts = destination.write(writes)
    assert [number for number, one in enumerate(receipts) if one.outcome == "failed"] == bad
    assert {one.outcome for number, one in enumerate(receipts) if number not in bad} == {"accepted"}
    assert account.requests()["update"] <= most


def use_up_errors(account: Account, destination: HubSpotDestination) -> None:
    """Let the CRM refuse so much that rows refused before are worth no more errors."""
    account.switch(rate_limit=10_000)
    account.spoil(BATCHES, "status", times=21, status=400, body={"category": "VALIDATION_ERROR", "message": "bad"})
    for _ in range(21):
        destination.write([Write("t", "1", None, None, STATUS)])
    account.forget_requests()


def test_rows_refused_before_are_not_worth_more_errors(account: Account, destination: HubSpotDestination) -> None:
    """While too many answers are errors, a batch of known bad rows is refused at once, and each says that it was."""
    writes = [update(one, account.add(email=f"c{one}@x.test"), refused_before=True) for one in range(8)]
    account.switch(trace_multistatus=[], refuse_ids=[writes[3].record_id])
    use_up_errors(account, destination)
    receipts = destination.write(writes)
    assert (set(outcomes(receipts).values()), account.requests()["update"]) == ({"failed"}, 1)
    (message,) = {str(one.message) for one in receipts}
    assert message.startswith("refused again, with others")
    assert message.endswith(': wallet_status: PROPERTY_VALIDATION_RULE (The value of "wallet_status" breaks a rule)')


def test_rows_refused_before_are_divided_while_few_answers_are_errors(
    account: Account, destination: HubSpotDestination
) -> None:
    """With few errors among the answers, those that have become good land."""
    writes = [update(one, account.add(email=f"c{one}@x.test"), refused_before=True) for one in range(8)]
    account.switch(trace_multistatus=[], refuse_ids=[writes[3].record_id])
    receipts = destination.write(writes)
    assert [one.trace_id for one in receipts if one.outcome == "failed"] == ["t3"]


def test_a_new_row_among_known_bad_ones_is_not_given_up(account: Account, destination: HubSpotDestination) -> None:
    """A batch that holds one row of which nothing bad is known is divided, however many errors there were."""
    writes = [update(one, account.add(email=f"c{one}@x.test"), refused_before=one > 0) for one in range(4)]
    account.switch(trace_multistatus=[], refuse_ids=[one.record_id for one in writes[1:]])
    assert outcomes(destination.write(writes))["t0"] == "accepted"


def test_a_neighbours_key_stands_in_no_message(account: Account, destination: HubSpotDestination) -> None:
    """What HubSpot says about a batch that is given up as a whole names none of its customers."""
    writes = [Write(f"t{one}", None, f"C-{one}", f"c{one}@x.test", STATUS, refused_before=True) for one in range(4)]
    said = "Values of C-2 and C2@X.TEST are bad, C-22 is not"
    use_up_errors(account, destination)
    account.spoil(BATCHES, "status", status=400, body={"category": "VALIDATION_ERROR", "message": said})
    (message,) = {str(one.message) for one in destination.write(writes)}
    assert message.endswith(": Values of … and … are bad, C-22 is not")


def test_a_write_without_a_whole_answer_is_unknown(account: Account, destination: HubSpotDestination) -> None:
    """Half an answer, HTML, nothing, and JSON of another kind leave open what happened, and nothing is sent twice."""
    (write,) = updates(account, 1)
    for action, details in (
        ("truncate", {"quietly": True}),
        ("replace", {"html": True}),
        ("replace", {"body": ""}),
        ("replace", {"body": []}),
        ("replace", {"body": {"results": "none"}}),
        ("replace", {"body": {"results": [{"no": "id"}]}}),
    ):
        account.forget_requests()
        account.spoil(BATCHES, action, **details)
        (receipt,) = destination.write([write])
        assert (receipt.outcome, receipt.error_class, account.requests()) == ("unknown", "transient", {"update": 1})


@pytest.mark.parametrize("key", ["record_id", "customer_id", "email"])
def test_who_is_left_out_of_an_answer_is_asked_for_again(
    account: Account, destination: HubSpotDestination, key: Any
) -> None:
    """A contact in neither results nor errors is found all the same."""
    values = []
    for number in range(3):
        contact = {"email": f"c{number}@x.test", "customer_id": f"C-{number}"}
        values.append(({"record_id": account.add(**contact)} | contact)[key])
    lie(account, "batch/read", omit=2)
    assert set(destination.read(key, values)) == set(values)


def test_an_error_of_another_kind_is_no_absence(account: Account, destination: HubSpotDestination) -> None:
    """An entry that names an id for another reason than that it is missing leaves it open."""
    record_id = account.add(email="a@x.test")
    entry = {"category": "INTERNAL_ERROR", "message": "x", "context": {"ids": [record_id]}}
    lie(account, "batch/read", omit=1, set={"errors": [entry]})
    assert set(destination.read("record_id", [record_id])) == {record_id}


def test_missing_ids_that_nobody_names_take_one_more_reading(account: Account, destination: HubSpotDestination) -> None:
    """However many contacts are missing without a word, they are asked for together."""
    account.switch(missing_in_errors=False)
    account.add(email="a@x.test", customer_id="C-0")
    found = destination.read("customer_id", [f"C-{number}" for number in range(50)])
    assert (set(found), account.requests()) == ({"C-0"}, {"read": 2})


def test_one_address_in_two_forms_is_asked_for_once(account: Account, destination: HubSpotDestination) -> None:
    """Letter case makes no second id, which would have the batch refused; both forms are answered."""
    account.switch(duplicate_reads="reject")
    account.add(email="ann@x.test")
    found = destination.read("email", ["Ann@x.test", "ann@x.test"])
    assert (set(found), account.requests()) == ({"Ann@x.test", "ann@x.test"}, {"read": 1})


def test_a_refused_reading_is_halved(account: Account, destination: HubSpotDestination) -> None:
    """A batch that is refused as a whole is read in parts."""
    values = [account.add(email=f"c{number}@x.test") for number in range(4)]
    account.spoil("batch/read", "status", status=400, body={"message": "Duplicate IDs found in batch input"})
    assert (set(destination.read("record_id", values)), account.requests()) == (set(values), {"read": 3})


def test_an_address_that_cannot_be_looked_for_is_nobodys(account: Account, destination: HubSpotDestination) -> None:
    """Where HubSpot refuses to look for an address, the others of the batch are found, and it has no contact."""
    account.add(email="ann@x.test")
    said = bad_value("INVALID_EMAIL", "no address", "email")
    rule = {"path": "batch/read", "body": "n/a", "action": {"type": "status", "status": 400, "body": said["body"]}}
    account.control("POST", "faults", rule)
    assert set(destination.read("email", ["ann@x.test", "n/a", "bob@x.test"])) == {"ann@x.test"}


def test_a_refused_reading_of_one_record_is_no_absence(account: Account, destination: HubSpotDestination) -> None:
    """A record that cannot be asked for is not taken for one that is gone."""
    account.spoil("batch/read", "status", times=9, status=400, body={"message": "no"})
    with pytest.raises(RefusedError, match="batch/read"):
        destination.read("record_id", ["1"])


def test_an_unfinished_reading_does_not_pass_for_an_empty_account(
    account: Account, destination: HubSpotDestination
) -> None:
    """When HubSpot never finishes, the reading fails: it finds nobody missing."""
    account.spoil("batch/read", "json", times=9, set={"status": "PENDING", "results": []})
    with pytest.raises(UnreachableError, match="PENDING"):
        destination.read("record_id", ["1"])
