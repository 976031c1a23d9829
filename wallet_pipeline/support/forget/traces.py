"""Recognizing a person in texts: in bodies of deliveries, which may be anything, and in logs."""

import json
import mmap
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from wallet_pipeline.support.forget.person import Person

# Where a word begins and ends; in JSON the letter of an escape, as in \n, may stand before it. o'neill is one word, and
# what stands before an @.
_BEGINS = r"(?:(?<![\w.+-])(?<!\w')|(?<=\\[nrt]))"
_ENDS = r"(?![\w-]|[.@]\w)"
_NOWHERE = r"(?!)"
_NO_CHARACTER = r"[^\s\S]"
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_SHORTEST, _SHORTEST_NUMBER = 6, 8


class Traces:
    """All words by which a person can be recognized.

    E-mails, customer keys, and pass ids and identifiers that nothing else is likely to be called, wherever they stand;
    others, such as `google` and `2026-01-01`, only as the value of a JSON member of their name.
    """

    def __init__(self, person: Person, pass_id_names: Iterable[str]) -> None:
        named = [(name, pass_id) for pass_id in person.pass_ids for name in pass_id_names]
        texts = [(one, text) for one in person.identifiers for text in (one.written, one.value)]
        named += [(one.name, text) for one, text in texts]
        words = {text for _, text in texts if _is_email(text)}
        if person.is_known:  # else anything may have been typed
            words |= {one for one in person.pass_ids if _is_distinctive(one)}
            words |= {text for one, text in texts if one.keys_customers and _is_distinctive(text)}
        words |= {*person.customer_keys, *(f"{one.name}={one.written}" for one in person.identifiers)}
        members = {(text, _member(name, text)) for name, text in named if text not in words}
        records = {word for word in person.record_ids if _is_distinctive(word)}
        self.in_deliveries = Search({(form, _word(form)) for word in words for form in _forms(word)} | members)
        self.in_logs = Search({(form, _word(form)) for word in words | records for form in _forms(word)})
        # Enough to say where to look; for RE2, which has no look-around.
        self.likely = f"(?i){'|'.join(map(re.escape, sorted(words))) or _NO_CHARACTER}"
        self._hints = [text.lower().encode() for text in {*words, *(text for _, text in named)}]

    def is_in(self, body: bytes) -> bool:
        """Tell whether a delivery's body names the person."""
        return self._may_be_in(body.lower()) and any(map(self.in_deliveries.finds, _readings(body)))

    def redact(self, text: str) -> str:
        """Return a line of a log with each trace overwritten; in UTF-8 it is as long as before, and JSON stays JSON."""
        return self.in_logs.within(text).sub(_overwritten, text)

    def redact_values(self, identifiers: str) -> str:
        """Return a JSON text with each string overwritten that is a trace as a whole, and no part of another one."""
        return _JSON_STRING.sub(lambda found: self._redact_whole(found[0]), identifiers)

    def _redact_whole(self, quoted: str) -> str:
        word = quoted[1:-1].strip()
        return quoted.replace(word, "*" * len(word)) if self.in_logs.within(word).fullmatch(word) else quoted

    def _may_be_in(self, lowered: bytes) -> bool:
        """Tell, in a tenth of the time, whether it is worth looking."""
        is_plain = lowered.isascii() and b"\\" not in lowered and b"\0" not in lowered
        return not is_plain or any(hint in lowered for hint in self._hints)


class Search:
    """Looks for patterns, each with the text that stands wherever it matches.

    Of a person with hundreds of passes only the patterns are tried whose text is there: all at once they would take
    minutes for a few megabytes.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]]) -> None:
        self._patterns = [(text.lower(), text, pattern) for text, pattern in sorted(patterns)]

    def within(self, text: str) -> re.Pattern[str]:
        """Return a pattern of all that can match in a text."""
        lowered = text.lower()
        return _any_of(tuple(pattern for word, _, pattern in self._patterns if word in lowered))

    def finds(self, text: str) -> bool:
        """Tell whether anything matches in a text."""
        return self.within(text).search(text) is not None

    def finds_in_bytes(self, content: mmap.mmap) -> bool:
        """Tell whether anything matches in the bytes of a file."""
        likely = tuple(pattern for _, text, pattern in self._patterns if _is_in_bytes(text, content))
        return bool(likely) and re.compile(_any_of(likely).pattern.encode()).search(content) is not None


def _is_in_bytes(text: str, content: mmap.mmap) -> bool:
    if "@" in text:  # in any letter case
        return re.compile(b"(?i)" + re.escape(text.encode())).search(content) is not None
    return content.find(text.encode()) >= 0


@lru_cache(maxsize=1024)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(sorted(patterns, key=len, reverse=True)) or _NOWHERE)


def _overwritten(found: re.Match[str]) -> str:
    return ("9" if found[0].isdigit() else "*") * len(found[0].encode("utf-8", "surrogateescape"))


def _is_email(word: str) -> bool:
    return re.fullmatch(r"[^@\s]+@[^@\s]+", word) is not None


def _is_distinctive(word: str) -> bool:
    """Tell whether nothing else is likely to be called so; letters alone may be a word of the services or of a log."""
    is_long = len(word) >= (_SHORTEST_NUMBER if word.isdigit() else _SHORTEST)
    return _is_email(word) or (is_long and not (word.isascii() and word.isalpha()))


def _forms(word: str) -> Iterator[str]:
    """Yield a word as texts may have it: in either Unicode form, plain and as it stands in a cell of a Markdown table.

    Each also escaped as in JSON, and as in JSON inside of JSON.
    """
    plain = {unicodedata.normalize(kind, word) for kind in ("NFC", "NFD")} | {word}
    for form in plain | {one.replace("|", r"\|").replace("\n", " ") for one in plain}:
        yield form
        for ascii_only in (True, False):
            once = json.dumps(form, ensure_ascii=ascii_only)[1:-1]
            yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1])


def _word(word: str) -> str:
    escaped = re.escape(word)
    return f"{_BEGINS}(?i:{escaped}){_ENDS}" if "@" in word else f"{_BEGINS}{escaped}{_ENDS}"


def _member(name: str, value: str) -> str:
    """Return a pattern for a JSON member, also of JSON that stands as text inside a string."""
    quote = r'\\*"'
    return rf"{quote}{re.escape(name)}{quote}\s*:\s*(?:{quote})?\s*{re.escape(value)}\s*(?:{quote}|(?=[\s,}}\]]))"


def _readings(body: bytes) -> Iterator[str]:
    """Yield a body as text, and with the escapes of JSON resolved, twice: one JSON may stand as text in the other."""
    text = body.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    yield text
    for _ in range(2):
        text = _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), text).replace("\\/", "/")
        yield text
