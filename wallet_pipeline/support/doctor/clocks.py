"""Do the clocks of the services and ours agree."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from wallet_pipeline.collect.pass_list import CLOCK_TOLERANCE
from wallet_pipeline.support.doctor.finding import Finding, ok, problem
from wallet_pipeline.support.doctor.words import age


def judge_clock(service: str, theirs: datetime | None, ours: datetime) -> Iterator[Finding]:
    """Compare what a service's answer told with what our clock said then; both aware."""
    if theirs is None:
        yield ok(f"{service} does not tell its time.")
        return
    ahead = theirs - ours
    if abs(ahead) <= CLOCK_TOLERANCE:
        yield ok(f"The clocks of {service} and of this machine agree within {age(abs(ahead) + timedelta(seconds=1))}.")
        return
    yield problem(
        f"The clock of {service} is {age(abs(ahead))} {'ahead of' if ahead > timedelta(0) else 'behind'} that of this"
        f" machine; {age(CLOCK_TOLERANCE)} are allowed.",
        "Let this machine take its time from the network (NTP): events are compared with the time of their receipt, and"
        " those dated later are set aside. If it does, tell the service's support.",
    )
