"""Who gave a value in HubSpot, in words."""

import pytest

from wallet_pipeline.clients.hubspot import PropertyVersion
from wallet_pipeline.sync.hubspot_sources import in_words


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("user 77", ("CRM_UI", "userId:77")),
        ("user 78", ("MOBILE_IOS", "userId:77", "Ann Smith", "78")),
        ("a user", ("CRM_UI", "")),
        ("a user", ("CRM_UI", "ann@x.test", "ann@x.test")),
        ("workflow 12", ("AUTOMATION_PLATFORM", "12")),
        ("workflow 12 (Welcome)", ("AUTOMATION_PLATFORM", "12", "Welcome")),
        ("a workflow", ("AUTOMATION_PLATFORM", "enrollmentId:583071390870;actionExecutionIndex:3")),
        ("import 3", ("IMPORT", "3")),
        ("an import (list of …)", ("IMPORT", "", "list of ann@x.test")),
        ("app 815", ("INTEGRATION", "815")),
        ("merge", ("MERGE_OBJECTS", "1;2")),
        ("API key 4", ("API", "4")),
        ("an API key", ("API", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb")),
        ("CALCULATED", ("CALCULATED",)),
        ("FORM 70dc6ff5", ("FORM", "70dc6ff5", "Newsletter")),
        ("EMAIL …", ("EMAIL", "ann@x.test")),
        ("unknown", ("",)),
    ],
)
def test_a_source_is_told_in_words(words: str, source: tuple[str, ...]) -> None:
    """By kind and number; no name of a person, no e-mail, no key; a kind that is not known as it is."""
    assert in_words(PropertyVersion("apple", "2026-11-24T10:00:00.000Z", *source)) == words
