"""Why deliveries are refused, told in the log: in sums, now and then, with the likely cause."""

import asyncio
import logging

from wallet_pipeline.collect.webhooks.inbox import Source

log = logging.getLogger(__name__)

_PAUSE_S = 10
_UNPROVEN: dict[Source, str] = {
    "webhook": "%d webhook deliveries were refused: they had no X-NEOSTORE-SIGNATURE. They do not come from The Wallet"
    " Crew, or a proxy takes the header away.",
    "connector": "%d deliveries of the connector were refused: they had no bearer key. Check the name of the secret"
    " that the script in the tenant reads, and that no proxy takes the header Authorization away.",
}
_NEVER_RIGHT: dict[Source, str] = {
    "webhook": "%d webhook deliveries were refused: they had a wrong signature, and none had a right one since the"
    " start. WEBHOOK_SECRETS lacks the secret of this subscription or holds another tenant's, or a proxy re-serialises"
    " the JSON: the signature counts for the bytes as they were sent.",
    "connector": "%d deliveries of the connector were refused: they had a wrong key, and none had the right one since"
    " the start. The secret in the tenant is another one than CONNECTOR_KEY.",
}
_SOMETIMES_RIGHT: dict[Source, str] = {
    "webhook": "%d webhook deliveries were refused: they had a wrong signature, while others had a right one. They come"
    " from a subscription or tenant whose secret WEBHOOK_SECRETS lacks, from somebody who knows no secret, or through a"
    " proxy that re-serialises the JSON.",
    "connector": "%d deliveries of the connector were refused: they had a wrong key, while others had the right one."
    " They come from a tenant that still has an old key, or from somebody who does not know it.",
}


class Refusals:
    """Counts refused deliveries of one source, and logs the sums at most every 10 s. For use in an event loop."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unproven = 0
        self._wrong = 0
        self._any_right = False
        self._told_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def note_right(self) -> None:
        """Note a delivery with a right signature or key."""
        self._any_right = True

    def note_unproven(self) -> None:
        """Note a delivery without a signature or key."""
        self._unproven += 1
        self._tell_soon()

    def note_wrong(self) -> None:
        """Note a delivery with a wrong signature or key."""
        self._wrong += 1
        self._tell_soon()

    def tell(self) -> None:
        """Log now what was not yet told."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        wrong = _SOMETIMES_RIGHT if self._any_right else _NEVER_RIGHT
        for count, texts in ((self._unproven, _UNPROVEN), (self._wrong, wrong)):
            if count:
                log.warning(texts[self._source], count)
        self._unproven = self._wrong = 0

    def _tell_soon(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._told_at + _PAUSE_S), self._tell_now)

    def _tell_now(self) -> None:
        self._told_at = asyncio.get_running_loop().time()
        self.tell()
