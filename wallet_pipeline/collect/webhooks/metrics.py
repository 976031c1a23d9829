"""What the receiver counts, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from wallet_pipeline.collect.webhooks.inbox import InboxState

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The receiver's counters since its start, and what it knows of the inbox."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.received = Counter(
            "wallet_receiver_received",
            "Deliveries by source and by what became of them.",
            ["source", "outcome"],
            registry=self._registry,
        )
        self.duplicates = Counter(
            "wallet_receiver_duplicates",
            "Accepted deliveries whose body had been received before.",
            ["source"],
            registry=self._registry,
        )
        self.secret_matches = Counter(
            "wallet_receiver_secret_matches",
            "Deliveries by the secret that they were signed with: its place in the setting, from 1.",
            ["source", "secret"],
            registry=self._registry,
        )
        self._closed_connections = Counter(
            "wallet_receiver_closed_connections",
            "Connections that the receiver ended, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self.batch_size = Histogram(
            "wallet_receiver_commit_batch_size",
            "Deliveries that were committed together.",
            buckets=_BATCH_SIZES,
            registry=self._registry,
        )
        self._inbox_age = Gauge(
            "wallet_receiver_inbox_age_seconds",
            "Age of the oldest delivery that the warehouse has not taken over; 0 when there is none.",
            registry=self._registry,
        )
        self._last_event = Gauge(
            "wallet_receiver_last_event_timestamp_seconds",
            "When the last delivery was accepted, in seconds since 1970; 0 before the first.",
            registry=self._registry,
        )

    def count_closed(self, reason: str) -> None:
        """Count a connection that the receiver ended."""
        self._closed_connections.labels(reason).inc()

    def show(self, inbox: InboxState | None, now: int) -> bytes:
        """Return all figures as Prometheus text; those of an inbox that cannot be read are NaN.

        `now` is in microseconds since 1970, UTC.
        """
        if inbox is None:
            self._inbox_age.set(float("nan"))
            self._last_event.set(float("nan"))
        else:
            oldest = now if inbox.oldest_waiting is None else inbox.oldest_waiting
            self._inbox_age.set(max(0, now - oldest) / 1e6)
            self._last_event.set((inbox.newest or 0) / 1e6)
        return generate_latest(self._registry)
