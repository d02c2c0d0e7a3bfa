"""Measuring: what Prometheus is told about the server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

__all__ = ["CONTENT_TYPE_LATEST", "Measures"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
    """Counts and times of one server; each has its own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        registry = self._registry
        self._requests = Counter(
            "digitlab_requests",
            "Requests that were answered, also with a refusal.",
            ["path", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "digitlab_request_seconds",
            "From a request's headers to the end of its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "digitlab_batch_images",
            "Images that went through the network together.",
            buckets=_IMAGES,
            registry=registry,
        )
        self.pages = Counter(
            "digitlab_pages_read", "Photos, and pages of documents, that were read.", registry=registry
        )
        self.images = Counter("digitlab_images_predicted", "Images that were answered.", registry=registry)
        # Looking up labels costs more than counting.
        self._known_requests: dict[tuple[str, int], Counter] = {}
        self._known_seconds: dict[str, Histogram] = {}

    def watch(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Tell also what a function says when it is asked."""
        Gauge(name, words, registry=self._registry).set_function(value)

    def note_batch(self, n_images: int) -> None:
        """Count a batch."""
        self._batches.observe(n_images)

    def note_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; ``path`` is one of few, whatever was asked for."""
        counter = self._known_requests.get((path, status))
        if counter is None:
            counter = self._known_requests[path, status] = self._requests.labels(path, str(status))
        histogram = self._known_seconds.get(path)
        if histogram is None:
            histogram = self._known_seconds[path] = self._seconds.labels(path)
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
