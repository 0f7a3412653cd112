"""How the console feels: its first frame against an empty Textual app, its loop under load, quitting, idling.

The console is the real one over the real service, without a terminal; LiveRC is a server in a process of its own that
only sends bytes it holds ready. First frames alternate and the best of each counts, since a busy machine only adds.
"""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles

from mre_console.app import ConsoleApp
from mre_console.backend import ConsoleBackend
from mre_console.simulator.generate import World
from mre_console.simulator.server import Answer, Pages, SimulatorServer
from mre_console.simulator.site import ROBOTS, SimulatedSite
from pipeline.errors import PipelineError
from pipeline.service import Service, ServiceSettings

EVENTS = 3
PAINTS = 5
BUSY_S, IDLE_S = 5.0, 5.0
PROBE_S = 0.005  # between two looks at the loop
LIMITS = {
    "console_first_paint_over_empty_app": 2.5,
    "console_loop_lag_p95_ms": 50.0,
    "console_quit_s": 1.0,
    "console_idle_cpu_percent": 3.0,
}

# Run in a child each: a whole program from its start until its first frame is out.
_EMPTY_APP = """
import sys, time
from textual.app import App
class Empty(App):
    def on_ready(self): self.call_after_refresh(self.painted)
    def painted(self): print(time.time(), file=sys.__stdout__); self.exit()
Empty().run(headless=True, size=(120, 36))
"""
_CONSOLE = """
import sys, time
from pathlib import Path
from mre_console.app import ConsoleApp
from mre_console.backend import ConsoleBackend
from pipeline.service import Service, ServiceSettings
class Console(ConsoleApp):
    def on_ready(self): self.call_after_refresh(self.painted)
    def painted(self): print(time.time(), file=sys.__stdout__); self.exit()
service = Service(ServiceSettings(db_url=sys.argv[1], data=Path(sys.argv[2]), site="http://127.0.0.1:1"))
Console(ConsoleBackend(service), welcome=False).run(headless=True, size=(120, 36))
"""


def run() -> dict[str, float]:
    """The four figures, each over a database that holds three events of a hundred races."""
    with tempfile.TemporaryDirectory() as folder, _served_events() as (url, names):
        settings = ServiceSettings(db_url=f"{folder}/mre.sqlite3", data=Path(folder), site=url, crawl_delay=0)
        with Service(settings) as service:
            lag_ms, quit_s = asyncio.run(_busy(service, names))
        with Service(settings) as service:
            idle = asyncio.run(_idle(service))
        paint = _first_paint(settings)
    return {
        "console_first_paint_over_empty_app": paint,
        "console_loop_lag_p95_ms": lag_ms,
        "console_quit_s": quit_s,
        "console_idle_cpu_percent": idle,
    }


# ---------------------------------------------------------------- three events and who serves them


def _serve(pipe: Connection) -> None:
    site = SimulatedSite(World(1, tracks=1, events=EVENTS, mix=("large",), catalogue_rows=1), frozen_frame=True)
    pages = Pages()
    headers = {"Content-Type": "text/html; charset=UTF-8", "Content-Encoding": "gzip"}
    for _, event_id in site.events():
        for host, target in site.addresses(event_id):
            answer = site.answer(host, target)
            assert answer is not None
            pages.put(host, target, Answer(headers=headers, body=gzip.compress(answer.body, 1, mtime=0)))
            pages.put(host, "/robots.txt", Answer(headers={"Content-Type": "text/plain"}, body=ROBOTS.encode()))
    with SimulatorServer(pages) as server:
        pipe.send((server.url, [f"{slug}/{event_id}" for slug, event_id in site.events()]))
        pipe.recv()


@contextmanager
def _served_events() -> Iterator[tuple[str, list[str]]]:
    """The server's address and the events' names, as long as the context lasts."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        here.send("done")
        server.join(timeout=10)


# ---------------------------------------------------------------- the running console


@asynccontextmanager
async def _console(service: Service) -> AsyncIterator[tuple[ConsoleApp, asyncio.Task[str | None]]]:
    """The console with its first picture drawn."""
    app = ConsoleApp(ConsoleBackend(service), welcome=False)
    running = asyncio.create_task(app.run_async(headless=True, size=(120, 36)))
    while app.picture.snapshot is None:
        await asyncio.sleep(PROBE_S)
    try:
        yield app, running
    finally:
        app.exit()
        await running


async def _busy(service: Service, names: list[str]) -> tuple[float, float]:
    """The loop's lag (95th percentile, ms) while all events ingest again and again, and seconds to quit amid that."""
    finishing = False

    def again(name: str, _outcome: object = None) -> None:
        if not finishing:
            with suppress(PipelineError):
                service.start_ingest(name, done=partial(again, name))

    async with _console(service) as (app, running):
        for name in names:
            again(name)
        lags = await _lags(BUSY_S)
        assert service.running_here() == len(names), "the events were not ingesting"
        finishing = True
        started = time.perf_counter()
        await app.action_quit()
        await running
        quit_s = time.perf_counter() - started
    assert not service.status().running, "a run was still under way after quitting"
    return quantiles(lags, n=20)[-1] * 1_000, quit_s


async def _lags(seconds: float) -> list[float]:
    """How much later than wanted the loop came back, again and again."""
    lags: list[float] = []
    until = time.perf_counter() + seconds
    while (asked := time.perf_counter()) < until:
        await asyncio.sleep(PROBE_S)
        lags.append(time.perf_counter() - asked - PROBE_S)
    return lags


async def _idle(service: Service) -> float:
    """Percent of one processor that the whole process takes while nothing happens."""
    async with _console(service):
        await asyncio.sleep(1)  # the start is over
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        return (time.process_time() - cpu) / (time.perf_counter() - wall) * 100


# ---------------------------------------------------------------- the first frame


def _first_paint(settings: ServiceSettings) -> float:
    """Time from the process's start to the console's first frame, as a multiple of an empty app's."""
    empty = console = float("inf")
    for _ in range(PAINTS):
        empty = min(empty, _painted(_EMPTY_APP))
        console = min(console, _painted(_CONSOLE, settings.db_url, str(settings.data)))
    return console / empty


def _painted(program: str, *arguments: str) -> float:
    started = time.time()
    ran = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    return float(ran.stdout.split()[-1]) - started
