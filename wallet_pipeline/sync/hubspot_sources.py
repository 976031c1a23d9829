"""Who gave a property its value in HubSpot, in words: `user 77`, `workflow 12`, `import 3`, `app 815`, `merge`."""

import re

from wallet_pipeline.clients.hubspot import PropertyVersion
from wallet_pipeline.sync.destination import MERGE

_USER, _API_KEY = "user", "API key"
# The vendor's list is open: a kind that is not here is told by its own name.
_KINDS = {
    "API": _API_KEY,
    "AUTOMATION_PLATFORM": "workflow",
    "CONTACTS_WEB": _USER,
    "CRM_UI": _USER,
    "CRM_UI_BULK_ACTION": _USER,
    "IMPORT": "import",
    "INTEGRATION": "app",
    "MERGE_CONTACTS": MERGE,
    "MERGE_OBJECTS": MERGE,
    "MOBILE_ANDROID": _USER,
    "MOBILE_IOS": _USER,
    "WORKFLOWS": "workflow",
}
_ADDRESS = re.compile(r"[^\s()]+@[^\s()]+")


def in_words(version: PropertyVersion) -> str:
    """Return who gave a value. People are told by number, never by name or e-mail."""
    kind = _KINDS.get(version.source_type)
    if kind == MERGE:
        return kind
    if kind == _USER:
        return _numbered(kind, version.user_id or version.source_id.removeprefix("userId:"))
    if kind is None:
        return _ADDRESS.sub("…", f"{version.source_type} {version.source_id}".strip()) or "unknown"
    label = f" ({version.source_label})" if version.source_label and kind != _API_KEY else ""
    return _ADDRESS.sub("…", _numbered(kind, version.source_id) + label)


def _numbered(kind: str, number: str) -> str:
    """Return `workflow 12`; an id that is no number, such as that of a workflow's single enrolment, names nobody."""
    if number.isdigit():
        return f"{kind} {number}"
    return f"{'an' if kind[0] in 'aAi' else 'a'} {kind}"
