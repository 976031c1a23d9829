"""The pace of a service that allows so many calls a minute."""

import time

from wallet_pipeline.clients.http import Answer
from wallet_pipeline.clients.minute import MinutePacer


def test_no_window_has_more_calls_than_the_limit() -> None:
    """Of any window's length of calls there are no more than the limit; up to it nobody waits."""
    pacer = MinutePacer(calls=3, window=0.4)
    sent = []
    for _ in range(8):
        pacer.wait()
        sent.append(time.monotonic())
    assert all(later - earlier >= 0.39 for earlier, later in zip(sent, sent[3:], strict=False))
    assert sent[2] - sent[0] < 0.4


def test_refusal_is_waited_out_as_it_asks() -> None:
    """A 429 says how long to wait, or else a quarter of the window is waited; other answers leave it to the client."""
    pacer = MinutePacer(window=60)
    answers = [Answer(429, {"Retry-After": "7"}, b""), Answer(429, {}, b""), Answer(503, {}, b"")]
    assert [pacer.heed(answer) for answer in answers] == [7, 15, None]
