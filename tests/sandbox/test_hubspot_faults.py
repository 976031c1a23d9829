"""Faults that need to know the CRM: answers that lie, and people who act between two requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hubspot_service import PEOPLE, Crm, serve

from tests.waiting import wait_until
from wallet_pipeline.sandbox.hubspot import CONTACTS


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    """Run a stand-in with three contacts."""
    with serve(tmp_path, PEOPLE) as client:
        yield client


def spoil(crm: Crm, path: str, /, **action: Any) -> None:
    """Let the next request to a path be spoilt."""
    crm.control("POST", "faults", {"path": path, "times": 1, "action": action})


def test_an_answer_lies_about_its_members(crm: Crm) -> None:
    """Members of a JSON answer are replaced and taken away."""
    spoil(crm, "batch/read", type="json", set={"status": "PENDING", "numErrors": 7}, remove=["startedAt"])
    answer = crm.read(crm.id_of("ann@x.test"))
    assert (answer["status"], answer["numErrors"], "startedAt" in answer, len(answer["results"])) == (
        "PENDING", 7, False, 1,
    )  # fmt: skip


def test_results_are_left_out(crm: Crm) -> None:
    """Some results are missing, and nothing says so."""
    ids = [crm.id_of(email) for email in ("ann@x.test", "bob@x.test", "cleo@x.test")]
    spoil(crm, "batch/read", type="json", omit=2)
    answer = crm.read(*ids)
    assert (len(answer["results"]), "errors" in answer, len(crm.read(*ids)["results"])) == (1, False, 3)


def test_half_an_answer_of_the_right_length(crm: Crm) -> None:
    """A body that was cut without a trace arrives as a whole, and is no JSON."""
    spoil(crm, "batch/read", type="truncate", quietly=True)
    answer = crm.batch("read", [{"id": crm.id_of("ann@x.test")}], properties=[], propertiesWithHistory=[])
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_late_answer_is_of_something_done(crm: Crm) -> None:
    """A caller who does not wait has changed the contact all the same, a moment later."""
    ann = crm.id_of("ann@x.test")
    spoil(crm, "batch/update", type="delay", seconds=0.3)
    with pytest.raises(requests.ReadTimeout):
        crm.http.post(
            f"{crm.url}{CONTACTS}/batch/update",
            json={"inputs": [{"id": ann, "properties": {"city": "Paris"}}]},
            headers={"Authorization": f"Bearer {crm.token}"},
            timeout=0.05,
        )
    wait_until(lambda: crm.values_of("ann@x.test").get("city") == "Paris")


def test_somebody_acts_between_two_requests(crm: Crm) -> None:
    """A control is used just before the request is served, and only then."""
    ann = crm.id_of("ann@x.test")
    edit = {"properties": {"city": "Paris"}}
    spoil(crm, "batch/read", type="meanwhile", path=f"/sandbox/contacts/{ann}/edit", body=edit)
    before = crm.values_of("ann@x.test").get("city")
    (shown,) = crm.read(ann, properties=["city"])["results"]
    assert (before, shown["properties"]["city"]) == (None, "Paris")


def test_a_switch_is_turned_between_two_requests(crm: Crm) -> None:
    """Controls of other methods work as well."""
    spoil(
        crm, "batch/read", type="meanwhile", method="PATCH", path="/sandbox/settings", body={"null_values": "missing"}
    )
    (shown,) = crm.read(crm.id_of("ann@x.test"), properties=["city"])["results"]
    assert "city" not in shown["properties"]


def test_a_control_that_refuses_is_told(crm: Crm) -> None:
    """A rule whose control cannot be used does not pass unseen."""
    spoil(crm, "batch/read", type="meanwhile", path="/sandbox/archive/999")
    answer = crm.batch("read", [{"id": "1"}])
    assert (answer.status_code, answer.json()["error"]) == (500, "the control /sandbox/archive/999 answered 404")


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"type": "meanwhile"}, "action.path is a path below /sandbox/"),
        ({"type": "meanwhile", "path": "/crm/objects"}, "action.path is a path below /sandbox/"),
        ({"type": "json", "omit": -1}, "action.omit"),
        ({"type": "json", "set": []}, "action.set"),
    ],
)
def test_a_wrong_action_is_refused(crm: Crm, action: dict[str, Any], says: str) -> None:
    """An action that cannot be obeyed is answered by 400 with the reason."""
    answer = crm.call("POST", "/sandbox/faults", {"action": action})
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)
