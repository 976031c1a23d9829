"""Whether a delivery comes from whom it says: the signature of a webhook, the key of the connector.

Both are compared in constant time. Header values are bytes as they came, so that none of them can fail to be text.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from pydantic import SecretStr


def _to_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode().rstrip("=")


# How a signature may be written, by its length without padding.
_FORMS: dict[int, Callable[[bytes], str]] = {64: bytes.hex, 43: _to_base64}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Proof(Protocol):
    """What a delivery of one source has to show, in a header whose name is here in lower case."""

    header: ClassVar[bytes]

    @property
    def secrets(self) -> int:
        """The number of secrets that are right."""

    def match(self, value: bytes, body: bytes) -> int | None:
        """Return the place, from 1, of the secret that the header's value was made with; None when it was none."""


class Signature:
    """X-NEOSTORE-SIGNATURE: the HMAC-SHA256 of the body's bytes with one of the secrets.

    In hex or Base64 of any letter case, padded or not, with `sha256=` before it or not: the vendor does not say which.
    """

    header: ClassVar[bytes] = b"x-neostore-signature"

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._keyed = [hmac.new(secret.get_secret_value().encode(), digestmod="sha256") for secret in secrets]

    @property
    def secrets(self) -> int:
        """The number of secrets that are right."""
        return len(self._keyed)

    def match(self, value: bytes, body: bytes) -> int | None:
        """Return the place, from 1, of the secret that signed the body; None when none of them did."""
        given = value.strip().lower().removeprefix(b"sha256=").rstrip(b"=").translate(_URL_SAFE)
        write = _FORMS.get(len(given))
        if write is None:
            return None
        for place, keyed in enumerate(self._keyed, start=1):
            # A copy, since hmac.digest lets go of the interpreter and then waits for its turn.
            mac = keyed.copy()
            mac.update(body)
            # Without its letter case a Base64 signature is still longer than anybody can guess.
            expected = write(mac.digest()).lower().encode()
            if hmac.compare_digest(expected, given):
                return place
        return None


class BearerKey:
    """`Authorization: Bearer` and the key."""

    header: ClassVar[bytes] = b"authorization"
    secrets = 1

    def __init__(self, key: SecretStr) -> None:
        self._key = key.get_secret_value().encode()

    def match(self, value: bytes, body: bytes) -> int | None:  # noqa: ARG002  a key is the same for every body
        """Return 1 when the header holds the key, else None."""
        scheme, _, given = value.strip().partition(b" ")
        right = hmac.compare_digest(given.strip(), self._key)
        return 1 if right and scheme.lower() == b"bearer" else None
