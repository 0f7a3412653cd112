"""A run's spans for a tracing backend, over OpenTelemetry. Configured by its standard environment variables alone.

Spans are made when a run has ended, with the times they had, so that nothing here is in an ingestion's way. Without an
endpoint nothing is loaded; with one and without the extra `otel`, that is said once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import Kind, StateError
from pipeline.observe import Bus, Report
from pipeline.spans import Span, spans_of

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names a place for spans and does not switch them off."""
    env = os.environ if environ is None else environ
    off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(env.get(name) for name in ENDPOINTS)


def trace_to_environment(bus: Bus, version: str) -> Callable[[], None]:
    """Send every run's spans to where the environment says; the returned function sends what waits and ends it.

    Raises StateError MISSING_EXTRA where the environment names an endpoint and the SDK is not installed.
    """
    if not wanted():
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StateError(
            Kind.MISSING_EXTRA,
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, but the OpenTelemetry SDK is not installed.",
            remedy="pip install 'mre-console[otel]', or unset the variable.",
        ) from error
    service = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "mre"}
    provider = TracerProvider(resource=Resource.create({**service, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    unsubscribe = bus.subscribe(Spans(provider.get_tracer("mre.pipeline", version)))

    def end() -> None:
        unsubscribe()
        provider.shutdown()

    return end


class Spans:
    """Makes a tracer's spans of a run's, parents first. A subscriber of the bus."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, report: Report) -> None:
        if report.name != "trace":
            return
        from opentelemetry import trace
        from opentelemetry.context import Context

        contexts: dict[int | None, Context] = {None: Context()}  # a trace of its own, whatever is under way here
        made: list[tuple[Any, Span]] = []
        for span in spans_of(report):
            one = self._tracer.start_span(
                span.name,
                contexts[span.parent],
                attributes={f"mre.{name}": _value(value) for name, value in span.attributes.items()},
                start_time=span.began_ns,
            )
            if span.error is not None:
                one.set_attribute("error.type", span.error)
                one.set_status(trace.Status(trace.StatusCode.ERROR, span.error))
            contexts[span.number] = trace.set_span_in_context(one, contexts[None])
            made.append((one, span))
        for one, span in reversed(made):
            one.end(span.ended_ns)


def _value(value: Any) -> str | bool | int | float:
    return value if isinstance(value, str | bool | int | float) else str(value)
