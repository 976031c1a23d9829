"""No secret of a pass is kept, and nothing but secrets is taken out."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wallet_pipeline.collect.webhooks.redaction import without_secrets

HUSH = "hush-hush"
BIGGEST = 256 << 10

# Values of any JSON type that can be recognized wherever a part of them turns up.
secrets = st.recursive(
    st.sampled_from([HUSH, f'a {HUSH} é\\"\n∢', 987650123456789, -9.87650123456789e12]),
    lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.text(max_size=3), inner, min_size=1),
    max_leaves=3,
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
names = st.tuples(*(st.sampled_from([letter, letter.upper()]) for letter in "secret")).map("".join)
layouts = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.none() | st.integers(0, 2),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " \t\r\n:\n")]),
    }
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Draw a document with secrets at some depth, some of them in JSON that is text in the document."""
    document = {draw(names): draw(secrets), **draw(st.dictionaries(st.text(max_size=8), plain, max_size=2))}
    for _ in range(draw(st.integers(0, 3))):
        wrap = draw(st.sampled_from(["object", "list", "text"]))
        if wrap == "object":
            document = {draw(st.text(max_size=5)): document, "passId": "p-1"}
        elif wrap == "list":
            document = [draw(plain), document]
        else:
            document = {"data": json.dumps(document, **draw(layouts))}
    return document


def escape_name(draw: st.DrawFn, text: str) -> str:
    """Write some letters of the members' names as escapes, at the document's own level."""

    def escape(match: re.Match[str]) -> str:
        letters = [rf"\u{ord(one):04x}" if draw(st.booleans()) else one for one in match[1]]
        return f'"{"".join(letters)}"'

    return re.sub(r'(?<!\\)"(secret)(?<!\\)"', escape, text, flags=re.IGNORECASE)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body with secrets, in some encoding, whole or broken."""
    text = escape_name(draw, json.dumps(draw(documents()), **draw(layouts)))
    cut = draw(st.none() | st.integers(0, len(text)))
    before = draw(st.sampled_from(["", "", "\ufeff", '"', "\\", "{", "x y", "é"]))
    encoding = draw(
        st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
    )
    return (before + text[:cut]).encode(encoding, "replace")


def readable(body: bytes) -> str:
    """Return what can be read in a body, whatever its encoding and however often it is quoted."""
    return body.replace(b"\0", b"").decode("latin-1")


@given(bodies())
def test_no_secret_survives(body: bytes) -> None:
    """Of no secret a recognizable part is left: any depth, type, letter case, escape, encoding, whole or broken."""
    kept = readable(without_secrets(body))
    assert HUSH not in kept
    assert "98765" not in kept
    assert "9.8765" not in kept


@given(documents(), layouts)
def test_all_but_the_secrets_is_kept(document: Any, layout: dict[str, Any]) -> None:
    """A document stays the same but for its secrets; where they stand in text, but for the rest of that text."""
    kept = json.loads(without_secrets(json.dumps(document, **layout).encode()))
    assert kept == expected(document)


def expected(document: Any) -> Any:
    """Return the document as it is to be kept, by the rules and not by a search."""
    if isinstance(document, dict):
        return {key: "removed" if key.lower() == "secret" else expected(value) for key, value in document.items()}
    if isinstance(document, list):
        return [expected(one) for one in document]
    if isinstance(document, str) and (found := re.search(r'\\*"secret\\*"[\s\\nrt]*:', document, re.IGNORECASE)):
        return f"{document[: found.end()]}removed"
    return document


@given(plain, layouts, st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_body_without_a_secret_stays_as_it_is(document: Any, layout: dict[str, Any], encoding: str) -> None:
    """Without a member named secret not a byte changes."""
    body = json.dumps({"secrets": document, "a secret": 1, "passType": "secret"}, **layout).encode(encoding)
    assert without_secrets(body) == body


@given(st.binary(max_size=300))
def test_any_bytes_stay_as_they_are(body: bytes) -> None:
    """What is no text at all stays as it is, unless it names a secret."""
    assume(b"secret" not in body.replace(b"\0", b"").lower())
    assert without_secrets(body) == body


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"secret":"x","n":1.50e+02,"n":1.5}', b'{"secret":"removed","n":1.50e+02,"n":1.5}'),
        (b'{"SECRET" : {"a":[1,"x"]} }', b'{"SECRET" :"removed" }'),
        (rb'{"\u0073ecr\u0045t":"x","b":1}', rb'{"\u0073ecr\u0045t":"removed","b":1}'),
        (
            rb'{"a":"{\"b\":\"{\u005c\"secret\u005c\":\u005c\"x\u005c\"}\"}"}',
            rb'{"a":"{\"b\":\"{\u005c\"secret\u005c\":removed"}',
        ),
        (b'{"secret":null,"secret":true}', b'{"secret":"removed","secret":"removed"}'),
        (b'{"secret":' + b"9" * 5000 + b"}", b'{"secret":"removed"}'),
        (b'{"a":{"secret":"x"', b'{"a":{"secret":"removed"'),
        (b'{"secret":"x\n","b":1}', b'{"secret":"removed"'),
        (b'{"secret":12ab,"b":1}', b'{"secret":"removed"'),
        (b"{\"secret\":'x','b':1}", b'{"secret":"removed"'),
        (b'{"secret":"x" "y"}', b'{"secret":"removed"'),
        (b'{"secret":' + b"[" * 100_000, b'{"secret":"removed"'),
        (b'oops " {"secret":"x"} tail', b'oops " {"secret":"removed"} tail'),
        (b'\xef\xbb\xbf{"n":"\xc3\xa9","secret":"\xc3\xa9"}', b'\xef\xbb\xbf{"n":"\xc3\xa9","secret":"removed"}'),
        (rb'{"d":"{\"secret\":\"x\",\"a\":1}","b":1}', rb'{"d":"{\"secret\":removed","b":1}'),
        (rb'{"d":"{\u0022secret\u0022:\u0022x\u0022}","b":1}', rb'{"d":"{\u0022secret\u0022:removed","b":1}'),
        (rb'{"d":"{\"\\u0073ecret\":\"x\"}"}', rb'{"d":"{\"\\u0073ecret\":removed"}'),
        (rb"{\"secret\":\"x\"}", rb"{\"secret\":removed"),
        (rb'{\"secret\":"x"}', rb"{\"secret\":removed"),
        (b'{"a":"x\0y","secret":"x"}', b'{"a":"x\0y","secret":removed'),
    ],
)
def test_examples(body: bytes, kept: bytes) -> None:
    """What becomes of some bodies, byte for byte."""
    assert without_secrets(body) == kept


@pytest.mark.parametrize(
    "unit",
    [
        b"\\",
        b'"',
        b'\\"',
        b'"s',
        rb"\u0073",
        b'"secret":1,',
        b'"secret":"',
        b'{"secret":',
        rb"\"secret\":",
        b'"secret"  ',
        b"\0",
        b'\0"',
    ],
)
def test_no_body_makes_the_search_slow(unit: bytes) -> None:
    """The largest body takes a moment, whatever it is made of: the time grows with the size and not with its square."""
    body = unit * (BIGGEST // len(unit))
    start = time.process_time()
    without_secrets(body)
    assert time.process_time() - start < 1
