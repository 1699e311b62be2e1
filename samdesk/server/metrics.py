"""`Metrics`: what the server counts, in the text format of Prometheus.

A registry of its own, so that two servers in one process do not share their counts. Must not
know endpoints.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the classes of a histogram of durations."""


class Metrics:
    """Counts of one server.

    Attributes
    ----------
    media_type : str
        Of `text`.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "samdesk_requests", "Answers by route and status", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "samdesk_request_seconds",
            "From the first byte of a request to the last of its answer",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._model = Histogram(
            "samdesk_model_seconds",
            "What a model took, by stage",
            ("stage", "engine"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._waiting = Gauge("samdesk_waiting", "Requests whose job has not ended", registry=self._registry)
        self._embeddings = Gauge(
            "samdesk_embeddings_bytes", "Memory of embeddings that are ready", registry=self._registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is a path's pattern, never the path, of which there are too many."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def model_took(self, stage: str, engine: str, seconds: float) -> None:
        """Count the time that a stage ("encode", "predict", ...) took."""
        self._model.labels(stage, engine).observe(seconds)

    def text(self, waiting: int, embeddings_bytes: int) -> bytes:
        """All counts, with what stands at this moment."""
        self._waiting.set(waiting)
        self._embeddings.set(embeddings_bytes)
        return generate_latest(self._registry)
