"""The CRM stand-in alone, over real HTTP, and a small client that speaks to it as an app or as the sandbox's keeper."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn

from wallet_pipeline.sandbox.droppable import DroppableProtocol
from wallet_pipeline.sandbox.faults import Faults
from wallet_pipeline.sandbox.hubspot import CONTACTS, PROPERTIES, create_app
from wallet_pipeline.sandbox.hubspot_store import create_store

FULL = "pat-sandbox-full"
TIMEOUT_S = 10

PEOPLE = [
    {"email": "Ann@X.test", "firstname": "Ann", "customer_id": "C-1"},
    {"email": "bob@x.test", "firstname": "Bob", "customer_id": "C-2", "hs_additional_emails": "robert@x.test"},
    {"email": "cleo@x.test", "lastname": "Cleo"},
]
STATUS = {
    "name": "wallet_status",
    "label": "walletStatus",
    "groupName": "contactinformation",
    "type": "enumeration",
    "fieldType": "select",
    "options": [
        {"label": value.title(), "value": value, "displayOrder": place, "hidden": False}
        for place, value in enumerate(("none", "apple", "google", "both"))
    ],
}
INSTALLED_AT = {
    "name": "installed_at",
    "label": "installedAt",
    "groupName": "contactinformation",
    "type": "datetime",
    "fieldType": "date",
}


class Crm:
    """A client of one running stand-in."""

    def __init__(self, url: str, token: str = FULL) -> None:
        self.url = url
        self.token = token
        self.http = requests.Session()

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> requests.Response:
        """Send a request, with the client's own token unless another one is given."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.http.request(method, self.url + path, json=body, headers=headers, timeout=TIMEOUT_S, **more)

    def batch(self, operation: str, inputs: list[dict[str, Any]], **members: Any) -> requests.Response:
        """Send one of the batch calls."""
        return self.call("POST", f"{CONTACTS}/batch/{operation}", {"inputs": inputs, **members})

    def read(self, *ids: str, **members: Any) -> dict[str, Any]:
        """Return the body of a batch read."""
        given = {"properties": [], "propertiesWithHistory": [], **members}
        body: dict[str, Any] = self.batch("read", [{"id": one} for one in ids], **given).json()
        return body

    def define(self, *definitions: dict[str, Any]) -> None:
        """Create properties."""
        for definition in definitions:
            assert self.call("POST", PROPERTIES, definition).status_code == 201

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Use a control below /sandbox/ and return its answer; a refusal raises."""
        answer = self.http.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def switch(self, **settings: Any) -> None:
        """Set switches."""
        self.control("PATCH", "settings", settings)

    def id_of(self, email: str) -> str:
        """Return the record id of the contact with this address."""
        record_id: str = self.control("GET", f"contacts?email={email}")["results"][0]["id"]
        return record_id

    def values_of(self, email: str) -> dict[str, str]:
        """Return all values of the contact with this address."""
        values: dict[str, str] = self.control("GET", f"contacts?email={email}")["results"][0]["properties"]
        return values


@contextmanager
def serve(folder: Path, contacts: list[dict[str, str]]) -> Iterator[Crm]:
    """Run a stand-in with these contacts on a free port."""
    create_store(folder / "crm.sqlite", contacts)
    config = uvicorn.Config(
        create_app(folder / "crm.sqlite", Faults()), port=0, log_level="warning", http=DroppableProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    crm = Crm(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    with closing(crm.http):
        yield crm
    # Nobody waits for its end, which takes longer than most tests: it holds nothing that another test needs.
    server.should_exit = True
