"""What an ingestion leaves behind for the tools that watch programs: log lines, metrics, spans; each failure alike."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mre_console.api.answers import error_answer
from mre_console.cli.output import report as shown_as
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import spans, tracing
from pipeline.errors import TABLE, Kind, PipelineError
from pipeline.logs import FILE_NAME, JsonLog, configure_json
from pipeline.metrics import Metrics, start_metrics_server
from pipeline.observe import Bus, Report
from pipeline.runs import STOPPED
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient

LABEL_VALUES = 50  # more than that is an id that became a label


class Watched:
    """A service with every watcher attached."""

    def __init__(self, service: Service, client: SiteClient) -> None:
        self.service = service
        self.client = client
        self.reports: list[Report] = []
        self.text = io.StringIO()
        self.log = JsonLog(self.text, level="debug")
        self.metrics = service.metrics()
        service.bus.subscribe(self.reports.append)
        self.log.attach(service.bus)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]

    def spans(self) -> tuple[spans.Span, ...]:
        return spans.spans_of(next(report for report in reversed(self.reports) if report.name == "trace"))

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=60, mix=("small",), catalogue_rows=5))


@pytest.fixture
def watched(site: SimulatedSite, database_url: str, tmp_path: Path) -> Iterator[Watched]:
    client = SiteClient(site)
    with Service(ServiceSettings(db_url=database_url, data=tmp_path), client=client) as service:
        yield Watched(service, client)


def events(site: SimulatedSite) -> list[str]:
    return [f"{slug}/{event}" for slug, event in site.events()]


# ---------------------------------------------------------------- a run that goes well


def test_a_run_tells_all_of_itself(watched: Watched, site: SimulatedSite) -> None:
    ingested = watched.service.ingest(events(site)[0])
    names = [line["event"] for line in watched.lines]
    assert names[0] == "ingestion_start"
    assert names[-1] == "ingestion_finish"
    expected = {"event_page_fetched", "race_page_fetched", "laps_extracted", "db_upsert_summary", "ingestion_finish"}
    assert expected <= set(names)
    assert {line["run_id"] for line in watched.lines} == {ingested.run_id}
    fetched = next(line for line in watched.lines if line["event"] == "race_page_fetched")
    assert {"time", "severity", "event_id", "url", "attempt", "duration_ms", "method"} <= set(fetched)

    assert watched.count("ingestion_duration_seconds_count", outcome="published") == 1
    assert watched.count("race_fetch_duration_seconds_count", method="http") == ingested.races
    assert watched.count("lap_extraction_duration_seconds_count") == ingested.races
    assert watched.count("db_rows_inserted_total", table="lap") == ingested.laps
    assert watched.count("database_up") == 1
    assert watched.count("events", state="complete") == 1


def test_spans_have_the_right_parents_and_fill_the_run(watched: Watched, site: SimulatedSite) -> None:
    ingested = watched.service.ingest(events(site)[0])
    assert ingested.run_id is not None
    root, *inner = watched.spans()
    assert (root.name, root.parent, root.error) == ("event_ingestion", None, None)
    assert {span.parent for span in inner} == {1}
    names = [span.name for span in inner]
    assert names[0] == "event_page_fetch"
    assert names[-2:] == ["normalise", "db_persistence"]
    assert names.count("race_page_fetch") == names.count("lap_extraction") == ingested.races
    for span in inner:
        assert root.began_ns <= span.began_ns <= span.ended_ns <= root.ended_ns
    kept = watched.service.timeline(ingested.run_id)
    assert [(span.number, span.name, span.parent, span.began_ns) for span in kept] == [
        (span.number, span.name, span.parent, span.began_ns) for span in (root, *inner)
    ]


def test_what_a_run_got_over_is_no_error(watched: Watched, site: SimulatedSite) -> None:
    def missing(url: str) -> None:
        if "entry_list" in url:
            raise PipelineError(Kind.NOT_FOUND, "there is none")

    listed = next(name for name in events(site) if site.document(name.partition("/")[2]).entry_list is not None)
    watched.client.before = lambda url: _as_fetch_error(missing, url)
    watched.service.ingest(listed)
    (tolerated,) = (span for span in watched.spans() if span.name == "entry_list_page_fetch")
    assert (tolerated.error, tolerated.attributes["tolerated"]) == (None, "NOT_FOUND")


def _as_fetch_error(check: Any, url: str) -> None:
    from pipeline.errors import FetchError

    try:
        check(url)
    except PipelineError as error:
        raise FetchError(error.kind, error.message, url=url) from None


def test_spans_past_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "KEPT", 4)
    timeline = spans.Timeline()
    for number in range(6):
        with timeline.span(f"page {number}"):
            pass
    kept = timeline.spans(None)
    assert [span.name for span in kept] == ["event_ingestion", "page 0", "page 1", "page 2"]
    assert kept[0].attributes["spans_dropped"] == 3


# ---------------------------------------------------------------- a run that fails


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.LEASE_LOST])
def test_every_kind_of_failure_appears_alike_everywhere(
    kind: Kind, site: SimulatedSite, sqlite_files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Raised while a race page is fetched: envelope, log, metric, span, run record and exit code say the same."""
    rule = TABLE[kind]

    def fail(url: str) -> None:
        if "view_race_result" in url:
            raise PipelineError(kind, "it is <b>broken</b>", url=url, page_type="race_result", case=1)

    url = sqlite_files.url()
    with Service(ServiceSettings(db_url=url, data=tmp_path), client=SiteClient(site, fail)) as service:
        watched = Watched(service, service.client)  # type: ignore[arg-type]
        with pytest.raises(PipelineError) as failure:
            service.ingest(events(site)[0])
        envelope = failure.value.envelope()
        assert (envelope.stage, envelope.code, envelope.details["kind"]) == (rule.stage, rule.code, str(kind))
        assert envelope.details["retryable"] is rule.retryable

        run = service.runs(limit=1)[0]
        interrupted = kind in STOPPED
        assert run.outcome == ("interrupted" if interrupted else "failed")
        assert run.error is not None
        recorded = json.loads(run.error)
        assert (recorded["stage"], recorded["details"]["kind"]) == (str(rule.stage), str(kind))

        (line,) = (line for line in watched.lines if line["event"].startswith(("ingestion_f", "ingestion_i"))
                   and line["severity"] == "error")  # fmt: skip
        assert (line["error"], line["stage"], line["run_id"]) == ({"kind": str(kind)}, str(rule.stage), run.id)
        assert "<" not in watched.text.getvalue()

        labels = {"stage": str(rule.stage), "kind": str(kind), "page_type": "race_result"}
        assert watched.count("connector_errors_total", **labels) == 1

        root, *inner = watched.spans()
        assert root.error == str(kind)
        assert [span.name for span in inner if span.error] == ["race_page_fetch"]
        assert [span.error for span in inner if span.error] == [str(kind)]

        (group,) = service.failure_groups()
        assert (group.stage, group.kind, group.remedy) == (str(rule.stage), str(kind), rule.remedy)
    answered = error_answer(failure.value)
    assert (answered.status_code, json.loads(bytes(answered.body))["details"]["kind"]) == (rule.http_status, str(kind))
    assert shown_as(failure.value, as_json=True) == rule.exit_code
    if kind is not Kind.OUTPUT_LOST:  # there is nowhere to say it on stdout
        assert json.loads(capsys.readouterr().out)["details"]["kind"] == str(kind)


def test_what_no_run_records_is_told_as_well(watched: Watched, site: SimulatedSite) -> None:
    watched.service.disable(reason="a rest")
    with pytest.raises(PipelineError):
        watched.service.ingest(events(site)[0])  # refused at the door: nothing began
    watched.service.checks()
    watched.service.enable()
    watched.client.before = lambda url: _as_fetch_error(_down, url)
    with pytest.raises(PipelineError):
        watched.service.refresh_track(events(site)[0].partition("/")[0])
    assert watched.lines[-1]["event"] == "request_failed"
    assert watched.count("connector_errors_total", stage="fetch", kind="UNREACHABLE", page_type="none") == 1


def _down(_url: str) -> None:
    raise PipelineError(Kind.UNREACHABLE, "no connection")


# ---------------------------------------------------------------- labels


def label_values(metrics: Metrics) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            for label, value in sample.labels.items():
                found.setdefault((metric.name, label), set()).add(value)
    return found


def test_no_id_becomes_a_label(watched: Watched, site: SimulatedSite) -> None:
    for name in events(site):  # sixty of them: an id as a label would pass the limit
        watched.service.ingest(name)
    values = label_values(watched.metrics)
    assert values
    assert {key: len(found) for key, found in values.items() if len(found) > LABEL_VALUES} == {}


def test_the_label_test_sees_an_id(watched: Watched, site: SimulatedSite) -> None:
    for number in range(LABEL_VALUES + 1):
        watched.metrics.runs.labels(f"run {number}").observe(1)
    assert any(len(found) > LABEL_VALUES for found in label_values(watched.metrics).values())


def test_a_silent_database_is_a_metric_too() -> None:
    metrics = Metrics()

    def fail() -> Iterator[Any]:
        raise PipelineError(Kind.DB_UNREACHABLE, "no connection")

    metrics.watch(fail)
    assert metrics.registry.get_sample_value("database_up") == 0


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing: apt-get install prometheus",
)
def test_promtool_likes_what_is_served(watched: Watched, site: SimulatedSite) -> None:
    watched.service.ingest(events(site)[0])
    watched.client.before = lambda url: _as_fetch_error(_down, url)
    with pytest.raises(PipelineError):
        watched.service.ingest(events(site)[1])
    end = start_metrics_server(0, watched.metrics)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{end.port}/metrics") as answer:
            text = answer.read()
    finally:
        end()
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is missing: apt-get install prometheus"
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


# ---------------------------------------------------------------- spans over the wire


class Collector:
    """An OTLP collector on loopback: keeps what it receives."""

    def __init__(self) -> None:
        received = self.received = []  # type: list[ExportTraceServiceRequest]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                received.append(request)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_collector_receives_the_spans_with_their_parents(
    watched: Watched, site: SimulatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    try:
        end = tracing.trace_to_environment(watched.service.bus, "1.0")
        good = watched.service.ingest(events(site)[0])
        watched.client.before = lambda url: _as_fetch_error(_down, url)
        with pytest.raises(PipelineError):
            watched.service.ingest(events(site)[1])
        end()
        received = collector.spans()
    finally:
        collector.close()
    roots = [span for span in received if not span.parent_span_id]
    assert [span.name for span in roots] == ["event_ingestion"] * 2
    assert len({span.trace_id for span in roots}) == 2
    by_root = {root.span_id: [span for span in received if span.parent_span_id == root.span_id] for root in roots}
    assert sum(map(len, by_root.values())) + 2 == len(received)
    for root in roots:
        assert {span.trace_id for span in by_root[root.span_id]} == {root.trace_id}
    well, badly = roots if roots[0].status.code != 2 else roots[::-1]
    names = [span.name for span in by_root[well.span_id]]
    assert names.count("race_page_fetch") == good.races
    assert {"event_page_fetch", "lap_extraction", "normalise", "db_persistence"} <= set(names)
    assert (badly.status.code, badly.status.message) == (2, "UNREACHABLE")
    assert [span.status.code for span in by_root[badly.span_id]] == [2]


def test_without_an_endpoint_nothing_is_loaded() -> None:
    code = (
        "import sys; from pipeline.tracing import trace_to_environment; from pipeline.observe import Bus; "
        "trace_to_environment(Bus(), '1')(); print('opentelemetry' in sys.modules)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---------------------------------------------------------------- the log's file


def test_lines_hold_no_markup_and_no_password() -> None:
    text = io.StringIO()
    bus = Bus()
    JsonLog(text).attach(bus)
    bus.publish(
        Report(
            "request_failed",
            "value '<td class=x>' of postgresql://mre:s3cret@db/mre",
            "error",
            fields={"kind": "TIMEOUT", "stage": "fetch", "nested": {"cell": ["<b>1</b>"]}},
        )
    )
    bus.publish(Report("progress", "fetch 1/2", "info"))
    (line,) = map(json.loads, text.getvalue().splitlines())
    assert "<" not in text.getvalue()
    assert "s3cret" not in text.getvalue()
    assert (line["event"], line["severity"], line["error"]) == ("request_failed", "error", {"kind": "TIMEOUT"})


def test_a_command_that_only_looks_leaves_no_log(tmp_path: Path) -> None:
    bus = Bus()
    end = configure_json(bus, folder=tmp_path / "logs")
    end()
    assert not (tmp_path / "logs").exists()
    end = configure_json(bus, folder=tmp_path / "logs")
    bus.publish(Report("lock_cleared", "cleared", "warning"))
    end()
    assert json.loads((tmp_path / "logs" / FILE_NAME).read_text())["event"] == "lock_cleared"


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    bus = Bus()
    end = configure_json(bus, folder=tmp_path / "logs")
    heard: list[Report] = []
    bus.subscribe(heard.append)
    bus.publish(Report("ingestion_start", "begins"))
    end()
    assert len(heard) == 1
    assert capsys.readouterr().err == ""
