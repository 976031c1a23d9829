"""Bodies without the secrets of passes: what must not reach a disk is taken out, all else stays byte for byte.

A secret is the value of a JSON member named `secret`, in any letter case, at any depth, also in JSON that stands as
text inside a string. The search does not parse, so that it finds secrets in broken JSON, too; where it cannot tell
where a value ends, it cuts.
"""

import json
import re

_REMOVED = "removed"
_SPACE = r"[ \t\r\n]"
_BACKSLASH = r"\\"
# Each level of quoting doubles their number. Bounded, so that no body makes the search slow.
_BACKSLASHES = r"(?:\\(?:u005[cC])?){1,32}"

_END_OF_VALUE = re.compile(rf"{_SPACE}*(?:[,}}\]]|\Z)")
_REST_OF_STRING = re.compile(rf'(?:[^"\\]|\\.)*"(?={_SPACE}*(?:[,:}}\]]|\Z))', re.DOTALL)
# Numbers stay text: a conversion could fail, or take long.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def _name(backslashes: str) -> str:
    """Return a pattern for the name of the member, whichever of its letters are capital or escaped."""
    return "".join(
        rf"(?:[{letter}{letter.upper()}]|{backslashes}u00(?:{ord(letter):x}|{ord(letter.upper()):x}))"
        for letter in "secret"
    )


_MEMBER = re.compile(rf'"{_name(_BACKSLASH)}"{_SPACE}*:')
_MEMBER_IN_STRING = re.compile(
    rf'(?:\\"|\\u005[cC]"|u0022){_name(_BACKSLASHES)}{_BACKSLASHES}(?:"|u0022)(?:{_SPACE}|{_BACKSLASHES}[nrt])*:'
)


def without_secrets(body: bytes) -> bytes:
    """Return the body with the value of each member named `secret` replaced; without one, the body as it is.

    Of a secret inside a string the rest of that string goes, too. A body that holds NUL, such as UTF-16, and a value
    whose end cannot be told are cut where the secret begins.
    """
    if b"\0" in body:
        return _cut_wide(body)
    if b"secret" not in body.lower() and b"\\u00" not in body:
        return body
    # In Latin-1 each byte is a character, whatever the body is encoded in.
    text = body.decode("latin-1")
    return _redact_strings(_redact_members(text)).encode("latin-1")


def _cut_wide(body: bytes) -> bytes:
    narrow = body.replace(b"\0", b"").decode("latin-1")
    found = [match.end() for match in (_MEMBER.search(narrow), _MEMBER_IN_STRING.search(narrow)) if match]
    if not found:
        return body
    places = [place for place, byte in enumerate(body) if byte]
    return body[: places[min(found) - 1] + 1] + _REMOVED.encode()


def _redact_members(text: str) -> str:
    parts = []
    at = 0
    while match := _MEMBER.search(text, at):
        parts += [text[at : match.end()], f'"{_REMOVED}"']
        end = _end_of_value(text, match.end())
        if end is None:
            return "".join(parts)
        at = end
    return "".join([*parts, text[at:]])


def _end_of_value(text: str, start: int) -> int | None:
    """Return where the JSON value ends that begins here or behind white space; None when that is not clear."""
    while text[start : start + 1] in {" ", "\t", "\r", "\n"}:
        start += 1
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return end if _END_OF_VALUE.match(text, end) else None


def _redact_strings(text: str) -> str:
    parts = []
    at = 0
    while match := _MEMBER_IN_STRING.search(text, at):
        parts += [text[at : match.end()], _REMOVED]
        rest = _REST_OF_STRING.match(text, match.end())
        if rest is None:
            return "".join(parts)
        at = rest.end() - 1
    return "".join([*parts, text[at:]])
