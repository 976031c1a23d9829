"""Signatures and keys: which are right, however they are written."""

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from wallet_pipeline.collect.webhooks.signature import BearerKey, Signature

SECRETS = ["o" * 64, "é" * 20, "n" * 64]
BODY = b'{"eventType": "Pass:Installed"}'

signature = Signature([SecretStr(secret) for secret in SECRETS])


def forms(body: bytes, secret: str) -> dict[str, bytes]:
    """Return the ways in which a signature may be written."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    padded, url_safe = base64.b64encode(digest), base64.urlsafe_b64encode(digest)
    return {
        "hex": digest.hex().encode(),
        "base64": padded,
        "base64 without padding": padded.rstrip(b"="),
        "url-safe base64": url_safe,
        "url-safe base64 without padding": url_safe.rstrip(b"="),
    }


@given(
    form=st.sampled_from(sorted(forms(b"", ""))),
    prefix=st.sampled_from([b"", b"sha256=", b"SHA256="]),
    letter_case=st.sampled_from([bytes, bytes.lower, bytes.upper, bytes.swapcase]),
    body=st.binary(max_size=100),
    place=st.integers(1, len(SECRETS)),
)
def test_right_signature_is_found_however_it_is_written(
    form: str, prefix: bytes, letter_case: Callable[[bytes], bytes], body: bytes, place: int
) -> None:
    """Hex and Base64, of any letter case, padded or not, with a prefix or not: each names the secret's place."""
    assert signature.match(prefix + letter_case(forms(body, SECRETS[place - 1])[form]), body) == place


@given(value=st.binary(max_size=80))
def test_no_header_value_is_an_error(value: bytes) -> None:
    """Whatever bytes a header holds, they are a wrong signature and a wrong key, and no exception."""
    assert signature.match(value, BODY) is None
    assert BearerKey(SecretStr("k" * 16)).match(value, BODY) is None


@given(changed=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
def test_changed_digit_is_wrong(changed: int, digit: str) -> None:
    """A signature that differs in one digit does not match."""
    right = forms(BODY, SECRETS[0])["hex"].decode()
    value = right[:changed] + digit + right[changed + 1 :]
    assert (signature.match(value.encode(), BODY) == 1) is (value == right)


@pytest.mark.parametrize("form", forms(b"", ""))
@pytest.mark.parametrize(
    ("body", "secret"),
    [(BODY, "other-tenants-secret"), (BODY.replace(b": ", b":"), SECRETS[0]), (BODY + b"\n", SECRETS[0])],
    ids=["secret of another tenant", "re-serialised", "with a line break"],
)
def test_other_secret_or_other_bytes_are_wrong(form: str, body: bytes, secret: str) -> None:
    """A signature by another secret or of other bytes does not match."""
    assert signature.match(forms(body, secret)[form], BODY) is None


def test_cut_signature_is_wrong() -> None:
    """A part of a right signature does not match, nor does an empty one."""
    for written in forms(BODY, SECRETS[0]).values():
        assert {signature.match(written[:length], BODY) for length in (0, 1, 20, 40)} == {None}


@pytest.mark.parametrize(
    "value", [b"Bearer 0123456789abcdef", b"bearer  0123456789abcdef ", b"BEARER 0123456789abcdef"]
)
def test_right_key_is_right_in_any_letter_case_of_the_scheme(value: bytes) -> None:
    """The key counts behind Bearer, whatever the scheme's letter case."""
    assert BearerKey(SecretStr("0123456789abcdef")).match(value, b"") == 1


@pytest.mark.parametrize(
    "value", [b"0123456789abcdef", b"Basic 0123456789abcdef", b"Bearer", b"Bearer 0123456789ABCDEF", b"Bearer \xff\x00"]
)
def test_wrong_key_or_scheme_is_wrong(value: bytes) -> None:
    """Another key, another letter case of the key, another scheme or none is wrong."""
    assert BearerKey(SecretStr("0123456789abcdef")).match(value, b"") is None
