"""`mre worker`: runs the schedule without a terminal, as a service or once."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from pipeline import systemd

if TYPE_CHECKING:
    from pipeline.service import Service
    from pipeline.worker import Worker

LOOK_S = 0.2  # how often the main thread looks whether the work has ended; a signal's handler runs there
NOTIFY_S = 5.0  # how often systemd hears that the worker lives
STOP_WITHIN_S = 4.5  # after that the process ends as it is: nothing it can leave behind is half done


def command(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Do all that is due now, then end.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", metavar="N", help="Serve /metrics on 127.0.0.1:N.", min=0, max=65535)
    ] = None,
) -> None:
    """Run the schedule: nightly, hourly and wanted work, until SIGTERM. Logs are JSON lines on stdout.

    Any number of workers may share a PostgreSQL and a data folder; each piece of work is done by one of them.
    """
    with open_service(ctx, fetches=True) as service, ExitStack() as stack:
        from pipeline.logs import configure_json
        from pipeline.ways import refuse_in_read_only

        refuse_in_read_only(service.read_only, "worker")
        service.client.require_contact()  # said now, not at each event
        stack.callback(configure_json(service.bus, stream=sys.stdout))
        if metrics_port is not None:
            stack.callback(_serve_metrics(service, metrics_port))
        if once:
            _once(service)
        else:
            _serve(service)


def _once(service: Service) -> None:
    from pipeline.observe import Report
    from pipeline.worker import Worker

    worker = Worker(service)
    service.use_worker(worker)  # so that a signal reaches it
    with _ended_in_time(worker):
        done = worker.run_until_idle()
    service.bus.publish(Report("worker_finish", f"all that was due is done ({done})", fields={"done": done}))


def _serve(service: Service) -> None:
    """Until a signal's handler has stopped the service; the main thread only waits and tells systemd how it is."""
    from pipeline.observe import Report

    worker = service.start_schedule(kind="worker")
    service.bus.publish(Report("worker_start", f"worker {os.getpid()} runs the schedule", fields={"pid": os.getpid()}))
    systemd.notify(systemd.READY)
    with _ended_in_time(worker):
        told = float("-inf")
        while not worker.join(LOOK_S):
            if worker.is_fresh() and time.monotonic() - told >= NOTIFY_S:
                systemd.notify(systemd.WATCHDOG)
                told = time.monotonic()
    systemd.notify(systemd.STOPPING)
    service.bus.publish(Report("worker_finish", f"worker {os.getpid()} has stopped", fields={"pid": os.getpid()}))


@contextmanager
def _ended_in_time(worker: Worker) -> Iterator[None]:
    """Where the work cannot be stopped in time, as when somebody else holds the database, the process just ends.

    That is what it is built for: a lease it leaves behind is released by whoever ticks next on this machine.
    """
    over = threading.Event()

    def watch() -> None:
        worker.stop_asked.wait()
        if not over.wait(STOP_WITHIN_S):
            os.write(2, b"ended at once: the work did not stop in time\n")
            os._exit(0)

    threading.Thread(target=watch, name="stop-in-time", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _serve_metrics(service: Service, port: int) -> Callable[[], None]:
    from pipeline.errors import Kind, StateError
    from pipeline.metrics import start_metrics_server

    try:
        return start_metrics_server(port, service.metrics())
    except OSError as error:
        raise StateError(Kind.USAGE, f"metrics cannot be served on port {port}: {error.strerror}", port=port) from error
