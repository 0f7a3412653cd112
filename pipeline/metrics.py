"""What Prometheus reads: counters and durations from the bus's reports, and how the database stands at each scrape.

No event, race or run is ever a label: ids belong in logs. Every label here takes its values from a table in the code,
so the number of series is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import PipelineError
from pipeline.observe import Bus, Report

if TYPE_CHECKING:
    from pipeline.store.database import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RUN_BUCKETS_S = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)
FETCH_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
READ_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
NONE = "none"  # a label whose fact a failure does not have

Gauge = tuple[str, str, Iterable[tuple[dict[str, str], float]]]  # name, help, (labels, value) …


class Metrics:
    """The counters of one process. A subscriber of the bus; safe in any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self.errors = Counter(
            "connector_errors_total",
            "Failed ingestions and refused requests.",
            ("stage", "kind", "page_type"),
            registry=made,
        )
        self.runs = Histogram(
            "ingestion_duration_seconds",
            "How long ingestions took.",
            ("outcome",),
            buckets=RUN_BUCKETS_S,
            registry=made,
        )
        self.fetches = Histogram(
            "race_fetch_duration_seconds",
            "Race pages, from request to last byte.",
            ("method",),
            buckets=FETCH_BUCKETS_S,
            registry=made,
        )
        self.readings = Histogram(
            "lap_extraction_duration_seconds", "Reading one race page.", buckets=READ_BUCKETS_S, registry=made
        )
        self.rows = Counter("db_rows_inserted_total", "Rows that ingestions published.", ("table",), registry=made)
        self.leases = Counter("lease_endings_total", "Leases that were not simply given back.", ("how",), registry=made)
        self.drift = Counter("drift_signals_total", "Signs that LiveRC changed its pages.", ("signal",), registry=made)
        self.retries = Counter("fetch_retries_total", "Requests that were repeated.", ("kind",), registry=made)
        self._takers: dict[str, Callable[[Report], None]] = {
            "ingestion_failed": self._failed,
            "ingestion_interrupted": self._failed,
            "request_failed": self._failed,
            "ingestion_finish": self._finished,
            "race_page_fetched": self._fetched,
            "laps_extracted": lambda report: self.readings.observe(report.fields["duration_ms"] / 1000),
            "db_upsert_summary": self._inserted,
            "fetch_retry": lambda report: self.retries.labels(str(report.fields["kind"])).inc(),
            **{f"lease_{how}": self._lease(how) for how in ("expired",)},
            **{f"lock_{how}": self._lease(how) for how in ("cleared", "released")},
            **{f"drift_{how}": self._drift(how) for how in ("suspected", "confirmed", "structure_changed")},
        }

    def __call__(self, report: Report) -> None:
        taker = self._takers.get(report.name)
        if taker is not None:
            taker(report)

    def attach(self, bus: Bus) -> Callable[[], None]:
        """Hear a bus, until the returned function is called."""
        return bus.subscribe(self)

    def watch(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        """Ask `gauges` at each scrape; where it raises PipelineError, the database counts as down."""
        self.registry.register(_Gauges(gauges))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    # ------------------------------------------------------------------ takers

    def _failed(self, report: Report) -> None:
        facts = report.fields
        self.errors.labels(str(facts["stage"]), str(facts["kind"]), str(facts.get("page_type", NONE))).inc()

    def _finished(self, report: Report) -> None:
        self.runs.labels(str(report.fields["outcome"])).observe(report.fields["duration_ms"] / 1000)

    def _fetched(self, report: Report) -> None:
        self.fetches.labels(str(report.fields["method"])).observe(report.fields["duration_ms"] / 1000)

    def _inserted(self, report: Report) -> None:
        for table, count in report.fields["rows"].items():
            self.rows.labels(table).inc(count)

    def _lease(self, how: str) -> Callable[[Report], None]:
        return lambda _report: self.leases.labels(how).inc()

    def _drift(self, signal: str) -> Callable[[Report], None]:
        return lambda _report: self.drift.labels(signal).inc()


class _Gauges(Collector):
    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self._gauges = gauges

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            families = [_family(gauge) for gauge in self._gauges()]
            up = 1
        except PipelineError:
            families, up = [], 0
        yield GaugeMetricFamily("database_up", "Whether the database answered this scrape.", value=up)
        yield from families


def _family(gauge: Gauge) -> GaugeMetricFamily:
    name, text, samples = gauge
    samples = list(samples)
    labels = tuple(samples[0][0]) if samples else ()
    family = GaugeMetricFamily(name, text, labels=labels)
    for facts, value in samples:
        family.add_metric([facts[label] for label in labels], value)
    return family


def store_gauges(store: Store, build: str) -> Iterator[Gauge]:
    """How the database stands; `build` is that of the readers. Raises StoreError."""
    from pipeline import drift, schedule
    from pipeline.looking import gate_line
    from pipeline.store import gauges

    facts = gauges.read(store)
    running = schedule.health(store)
    yield "events", "Known events by the state of their newest attempt.", _by("state", facts.events_by_state)
    yield "events_served", "Events that serve a sealed run.", [({}, facts.events_served)]
    yield "events_held", "Events on which nothing happens until a person acts.", [({}, facts.events_held)]
    yield "leases_held", "Events that somebody works on.", [({}, facts.leases_held)]
    yield "leases_expired", "Leases without a recent heartbeat.", [({}, facts.leases_expired)]
    yield "lease_oldest_heartbeat_age_seconds", "Of all held leases.", [({}, facts.oldest_heartbeat_ms / 1000)]
    yield "warnings_open", "Warnings that no person has acknowledged.", [({}, facts.warnings_open)]
    yield "retries_due", "Failed events whose next attempt is due.", [({}, facts.retries_due)]
    yield "workers_running", "Processes that run the schedule.", [({}, running.workers)]
    yield "due_work", "Events that wait to be ingested.", [({}, running.wanted)]
    yield (
        "schedule_overdue_seconds",
        "How long the oldest due work waits that nobody took.",
        [({}, running.overdue_ms / 1000)],
    )
    if running.tick_age_ms is not None:
        yield "scheduler_tick_age_seconds", "Since anybody looked what is due.", [({}, running.tick_age_ms / 1000)]
    changed = drift.picture(store)
    yield "drift_cases_open", "Suspicions that LiveRC changed its pages.", [({}, len(changed.cases))]
    yield "page_types_blocked", "Page types that are read nowhere.", [({}, len(changed.blocked))]
    yield "gate_open", "0 while a page set does not read as it must.", [({}, gate_line(store, build).state != "red")]
    yield "ingestion_enabled", "0 while the global switch is off.", [({}, float(facts.mode == "enabled"))]


def _by(label: str, counts: dict[str, int]) -> list[tuple[dict[str, str], float]]:
    return [({label: name}, count) for name, count in counts.items()]


class MetricsServer:
    """Serves /metrics in a thread of its own until it is called. Raises OSError where the port is taken."""

    def __init__(self, port: int, metrics: Metrics, host: str) -> None:
        from prometheus_client import start_http_server

        self._server, self._thread = start_http_server(port, addr=host, registry=metrics.registry)
        self.port = int(self._server.server_port)

    def __call__(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start_metrics_server(port: int, metrics: Metrics, *, host: str = "127.0.0.1") -> MetricsServer:
    """Serve /metrics; calling what is returned ends it. Port 0 takes a free one. Raises OSError."""
    return MetricsServer(port, metrics, host)
