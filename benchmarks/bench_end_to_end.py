"""What ingesting an event costs over its bare parts: 100 race pages from a loopback server into SQLite, crawl delay 0.

The parts are what nobody can do without: httpx GETs with one client, an lxml tree of every page, chompjs of every lap
script, one executemany of the laps. The server runs in a process of its own and only sends bytes it holds ready. Rounds
alternate and the best of each counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import gc
import gzip
import multiprocessing
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import chompjs
import httpx
from lxml import etree

from mre_console.simulator.generate import World
from mre_console.simulator.server import Answer, Pages, SimulatorServer
from mre_console.simulator.site import ROBOTS, SimulatedSite
from pipeline import records
from pipeline.service import Service, ServiceSettings

ROUNDS = 8
RACES = 100
MIB = 1024 * 1024
LIMITS = {"ingest_100_over_parts": 2.0, "ingest_100_peak_mib": 100.0}

# Run in the child of the memory measurement: the same ingestion, and nothing else in the process.
_MEMORY_CHILD = """
import sys
from pathlib import Path
from benchmarks.memory import peak_bytes
from pipeline.service import Service, ServiceSettings
url, folder, name = sys.argv[1:]
with Service(ServiceSettings(db_url=f"{folder}/events.sqlite3", data=Path(folder), site=url, crawl_delay=0)) as service:
    service.ingest(name)
print(peak_bytes())
"""


# ---------------------------------------------------------------- the event and who serves it


class Source(NamedTuple):
    """One generated event on a server of its own."""

    url: str
    name: str  # slug/id
    host: str
    targets: list[str]  # path?query of the event page, its entry list and its races
    document: records.Event


def _site() -> SimulatedSite:
    return SimulatedSite(World(1, tracks=1, events=1, mix=("large",), catalogue_rows=1), frozen_frame=True)


def _serve(pipe: Connection) -> None:
    """Serve the event's pages, compressed once: what is measured is not the server."""
    site, pages = _site(), Pages()
    ((_, event_id),) = site.events()
    headers = {"Content-Type": "text/html; charset=UTF-8", "Content-Encoding": "gzip"}
    for host, target in site.addresses(event_id):
        answer = site.answer(host, target)
        assert answer is not None
        pages.put(host, target, Answer(headers=headers, body=gzip.compress(answer.body, 1, mtime=0)))
        pages.put(host, "/robots.txt", Answer(headers={"Content-Type": "text/plain"}, body=ROBOTS.encode()))
    with SimulatorServer(pages) as server:
        pipe.send(server.url)
        pipe.recv()


@contextmanager
def served_event() -> Iterator[Source]:
    """The event, on loopback as long as the context lasts."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    site = _site()
    ((slug, event_id),) = site.events()
    addresses = site.addresses(event_id)
    document = site.document(event_id)
    assert len(document.races) == RACES
    try:
        yield Source(here.recv(), f"{slug}/{event_id}", addresses[0][0], [target for _, target in addresses], document)
    finally:
        here.send("done")
        server.join(timeout=10)


# ---------------------------------------------------------------- the bare parts

_SCRIPT = re.compile(rb"<script[^>]*>([^<]*racerLaps[^<]*)</script>")


def _fetch(source: Source) -> list[bytes]:
    with httpx.Client(base_url=source.url, headers={"Host": source.host, "Accept-Encoding": "gzip"}) as client:
        return [client.get(target).content for target in source.targets]


def _trees(bodies: list[bytes]) -> None:
    for body in bodies:
        assert etree.fromstring(body, etree.HTMLParser(encoding="utf-8")) is not None


def _scripts(bodies: list[bytes]) -> list[str]:
    """The lap scripts; cutting them out of the pages is not counted."""
    return [script.decode() for body in bodies for script in _SCRIPT.findall(body)]


def _literals(scripts: list[str]) -> int:
    """Every literal of every lap script; how many of them are a driver's laps."""
    literals: Iterator[object] = chain.from_iterable(map(chompjs.parse_js_objects, scripts))
    return sum(isinstance(literal, dict) and "laps" in literal for literal in literals)


def _lap_rows(document: records.Event) -> list[tuple[int | str | None, ...]]:
    results = [result for race in document.races for result in race.results]
    return [
        (number, lap.lap_number, lap.lap_time_ms, lap.elapsed_ms, lap.position, lap.pace)
        for number, result in enumerate(results)
        for lap in result.laps
    ]


def _insert(folder: Path, rows: list[tuple[int | str | None, ...]]) -> None:
    database = sqlite3.connect(folder / "laps.sqlite3", isolation_level=None)
    database.execute("PRAGMA journal_mode = wal")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE lap (result_id INTEGER, lap_number INTEGER, lap_time_ms INTEGER, elapsed_ms INTEGER, "
        "position INTEGER, pace TEXT, PRIMARY KEY (result_id, lap_number)) WITHOUT ROWID"
    )
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO lap VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.execute("COMMIT")
    database.close()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _parts(source: Source, folder: Path) -> dict[str, float]:
    """Seconds of every part, once."""
    bodies: list[bytes] = []
    fetching = _seconds(lambda: bodies.extend(_fetch(source)))
    scripts, rows = _scripts(bodies), _lap_rows(source.document)
    found: list[int] = []
    seconds = {
        "httpx": fetching,
        "lxml": _seconds(lambda: _trees(bodies)),
        "chompjs": _seconds(lambda: found.append(_literals(scripts))),
        "executemany": _seconds(lambda: _insert(folder, rows)),
    }
    assert found == [sum(len(race.results) for race in source.document.races)]
    return seconds


# ---------------------------------------------------------------- the whole


def _ingest(source: Source, folder: Path) -> dict[str, float]:
    """Seconds to ingest into an empty database, and once more with nothing changed."""
    settings = ServiceSettings(
        db_url=str(folder / "events.sqlite3"), data=folder / "data", site=source.url, crawl_delay=0
    )
    with Service(settings) as service:
        service.status()  # the tables are made when a database is first opened, not for every event
        outcomes: list[str] = []
        first = _seconds(lambda: outcomes.append(service.ingest(source.name).outcome))
        again = _seconds(lambda: outcomes.append(service.ingest(source.name).outcome))
        assert outcomes == ["published", "unchanged"]
    return {"published": first, "unchanged": again}


def _peak(source: Source, folder: Path) -> int:
    command = [sys.executable, "-c", _MEMORY_CHILD, source.url, str(folder), source.name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    return int(answer.stdout)


def run() -> dict[str, float]:
    """Seconds of whole and parts (the best of several rounds), their ratio, and the peak memory of an ingestion."""
    parts: list[dict[str, float]] = []
    whole: list[dict[str, float]] = []
    with served_event() as source:
        gc.collect()
        gc.freeze()  # the benchmark's own objects are nobody's cost
        for _ in range(ROUNDS):
            for rounds, measure in ((parts, _parts), (whole, _ingest)):
                with tempfile.TemporaryDirectory() as folder:
                    rounds.append(measure(source, Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            peak = _peak(source, Path(folder))
    best = min(parts, key=lambda seconds: sum(seconds.values()))
    bare, ingest = sum(best.values()), min(seconds["published"] for seconds in whole)
    return {
        **{f"bare_{name}_100_s": seconds for name, seconds in best.items()},
        "bare_parts_100_s": bare,
        "ingest_100_s": ingest,
        "ingest_100_unchanged_s": min(seconds["unchanged"] for seconds in whole),
        "ingest_100_over_parts": ingest / bare,
        "ingest_100_peak_mib": peak / MIB,
    }


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:28} {value:8.3f}")
