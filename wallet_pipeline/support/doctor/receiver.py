"""The receiver: does it answer, can it write, what did it refuse and why, does it know the secrets of today."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from wallet_pipeline.clients.http import HttpClient, UnreachableError
from wallet_pipeline.collect.webhooks.inbox import survey
from wallet_pipeline.support.doctor.finding import Finding, each, ok, problem, warning
from wallet_pipeline.support.doctor.installation import LIMITS, Installation
from wallet_pipeline.support.doctor.words import many, when

_OK, _UNAVAILABLE = 200, 503
_PREFIX = "wallet_receiver_"
_SOURCES = {"webhook": "WEBHOOK_SECRETS", "connector": "CONNECTOR_KEY"}
_MICROSECONDS = 1_000_000
_WRONG = {
    "webhook": "Compare WEBHOOK_SECRETS with the secret of the subscription; if it is right, a proxy writes the JSON"
    " anew: let it pass the body as it is.",
    "connector": "Put CONNECTOR_KEY into the secret that the script in the tenant reads.",
}
_UNPROVEN = {
    "webhook": "Let the header X-NEOSTORE-SIGNATURE through, if a proxy stands between; else somebody tries.",
    "connector": "Let the header Authorization through, if a proxy stands between, and check the name of the secret"
    " that the script in the tenant reads.",
}


@dataclass(frozen=True)
class _Figures:
    """What the page /metrics tells, by name and labels, counted since the receiver's start."""

    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def of(self, name: str, **labels: str) -> int:
        value = self.values.get((f"{_PREFIX}{name}", frozenset(labels.items())), 0.0)
        return 0 if math.isnan(value) else int(value)

    def received(self, source: str, outcome: str) -> int:
        return self.of("received_total", source=source, outcome=outcome)

    def secrets(self, source: str) -> int:
        """Return how many secrets or keys of a source the receiver was started with."""
        name = f"{_PREFIX}secret_matches_total"
        return sum(found == name and ("source", source) in labels for found, labels in self.values)

    @property
    def since(self) -> str:
        moments = [value for (name, _), value in self.values.items() if name == f"{_PREFIX}received_created"]
        return f"since {when(datetime.fromtimestamp(min(moments), UTC))}" if moments else "since its start"


def examine_receiver(installation: Installation) -> Iterator[Finding]:
    """Yield what is to be said of the receiver; one that was never set up need not answer."""
    with HttpClient("The receiver", installation.receiver_url, {}, LIMITS, attempts=1) as http:
        access = list(each({"answers": partial(_answers, http, installation)}))
        yield from access
        if any(one.level == "problem" for one in access) or not (figures := _figures(http)):
            return
    yield from each(
        {
            "refusals": partial(_refusals, figures),
            "deliveries": partial(_kept, figures),
            "secrets in use": partial(_secrets_in_use, figures, installation),
            "same inbox": partial(_same_inbox, figures, installation),
        }
    )


def _answers(http: HttpClient, installation: Installation) -> Iterator[Finding]:
    try:
        health = http.call("GET", "/healthz")
    except UnreachableError:
        yield _silent(installation)
        return
    said = health.body.decode("utf-8", "replace").strip()[:200]
    if health.status == _OK and said == "ok":
        yield ok(f"{installation.receiver_url} answers and can write to its inbox.")
    elif health.status == _UNAVAILABLE:
        yield problem(
            f"{installation.receiver_url} answers, but refuses every delivery: {said}.",
            "Free some space on its disk, or close the program that holds the inbox; it goes on by itself.",
        )
    else:
        yield problem(
            f"What answers at {installation.receiver_url} is no receiver ({health.status} for /healthz).",
            "Name the receiver's address with --receiver, without a path.",
        )


def _silent(installation: Installation) -> Finding:
    if not installation.is_real_time:
        return ok("Real time is not set up: WEBHOOK_SECRETS and CONNECTOR_KEY are empty, and no receiver answers.")
    return problem(
        f"No receiver answers at {installation.receiver_url}: events are lost for real time until it does.",
        "Start `wallet-pipeline receive`, and let a supervisor keep it running; if it listens elsewhere, name its"
        " address with --receiver.",
    )


def _figures(http: HttpClient) -> _Figures | None:
    try:
        text = http.call("GET", "/metrics").body.decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    except (UnreachableError, ValueError):
        return None
    return _Figures({(one.name, frozenset(one.labels.items())): one.value for one in samples})


def _refusals(figures: _Figures) -> Iterator[Finding]:
    refused = False
    for source in _SOURCES:
        accepted = figures.received(source, "accepted")
        if wrong := figures.received(source, "wrong"):
            refused = True
            text = f"Of the {source} {_deliveries(wrong)} with a wrong signature or key refused {figures.since}"
            yield (warning if accepted else problem)(f"{text}; accepted: {accepted}.", _WRONG[source])
        if unproven := figures.received(source, "unproven"):
            refused = True
            text = f"Of the {source} {_deliveries(unproven)} without a signature or key refused {figures.since}"
            yield warning(f"{text}; accepted: {accepted}.", _UNPROVEN[source])
    if not refused:
        yield ok(f"No delivery was refused for its signature or key {figures.since}.")


def _deliveries(number: int) -> str:
    return many(number, "delivery", "deliveries")


def _kept(figures: _Figures) -> Iterator[Finding]:
    for source, setting in _SOURCES.items():
        if count := figures.received(source, "not_written"):
            yield warning(
                f"Of the {source} {_deliveries(count)} could not be written {figures.since}: answered with 503.",
                "The sender tries them again. See in the receiver's log what was full or locked.",
            )
        if count := figures.received(source, "not_configured"):
            yield warning(
                f"Of the {source} {_deliveries(count)} refused {figures.since}: the receiver knows no {setting}.",
                f"Set {setting} and restart `wallet-pipeline receive`; or let the {source} deliver no more.",
            )
        malformed = {name: figures.received(source, name) for name in ("too_large", "encoded", "empty")}
        if any(malformed.values()):
            counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in malformed.items() if count)
            yield warning(
                f"Deliveries of the {source} refused {figures.since} for their form: {counts}.",
                "See docs/real-time.md, The receiver, for what it accepts; find out who sends them.",
            )
    accepted = sum(figures.received(source, "accepted") for source in _SOURCES)
    again = sum(figures.of("duplicates_total", source=source) for source in _SOURCES)
    yield ok(f"Accepted {figures.since}: {_deliveries(accepted)}, of which {again} had been received before.")


def _secrets_in_use(figures: _Figures, installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    keys = {"webhook": len(settings.webhook_secrets), "connector": bool(settings.connector_key.get_secret_value())}
    for source, setting in _SOURCES.items():
        if setting not in installation.unusable and figures.secrets(source) != keys[source]:
            yield warning(
                f"The receiver was started with {many(figures.secrets(source), 'secret')} in {setting}; now it holds"
                f" {int(keys[source])}.",
                "Restart `wallet-pipeline receive`, with the same settings.",
            )


def _same_inbox(figures: _Figures, installation: Installation) -> Iterator[Finding]:
    """Compare the newest delivery that the receiver tells of with the newest in our file, which is read later."""
    theirs = figures.of("last_event_timestamp_seconds")
    file = installation.settings.inbox_file
    ours = survey(file, after=0, limit=0).newest // _MICROSECONDS if file.exists() else 0
    if "DATA_DIR" not in installation.unusable and theirs > ours:
        yield problem(
            f"The receiver keeps deliveries that are not in {file}: it writes into another file.",
            "Start it in the same folder and with the same DATA_DIR as the pipeline, on the same machine.",
        )
