"""What politeness, deadlines and checks cost: pages fetched by the client against bare httpx GETs of the same pages.

The server runs in a process of its own, so that both sides are measured alone. Rounds alternate and the best of each
counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection

import httpx

from mre_console.simulator.server import Pages, SimulatorServer
from pipeline.liverc.client import Client, ClientSettings
from pipeline.liverc.urls import race_url

PAGES = 100
ROUNDS = 5
SLUG = "bench"
LIMITS = {"fetch_client_over_httpx": 1.5}
# As large as a race page of LiveRC, and as compressible: about 160 kB of lap literals.
BODY = (
    b"<html><body><script>\n"
    + b"".join(
        b"{'lapNum' : '%d', 'pos' : '%d', 'time' : '%d.%03d'},\n" % (n, n % 12, n % 47, n % 997) for n in range(3300)
    )
    + b"</script></body></html>\n"
)


def _serve(pipe: Connection) -> None:
    site = Pages()
    for number in range(1, PAGES + 1):
        site.put(f"{SLUG}.liverc.com", f"/results/?p=view_race_result&id={number}", BODY)
    with SimulatorServer(site) as server:
        pipe.send(server.url)
        pipe.recv()


def _bare(url: str) -> float:
    with httpx.Client(headers={"Host": f"{SLUG}.liverc.com", "Accept-Encoding": "gzip"}) as client:
        client.get(f"{url}/robots.txt")
        started = time.perf_counter()
        for number in range(1, PAGES + 1):
            body = client.get(f"{url}/results/?p=view_race_result&id={number}").content
            assert len(body) == len(BODY)
        return time.perf_counter() - started


def _ours(url: str) -> float:
    with Client(ClientSettings(version="bench", stand_in=url, crawl_delay_s=0.0)) as client:
        client.fetch(race_url(SLUG, "1"))  # and robots.txt
        started = time.perf_counter()
        for number in range(1, PAGES + 1):
            body = client.fetch(race_url(SLUG, str(number))).body
            assert len(body) == len(BODY)
        return time.perf_counter() - started


def run() -> dict[str, float]:
    """Seconds for 100 pages each way, and their ratio."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    url = here.recv()
    try:
        pairs = [(_bare(url), _ours(url)) for _ in range(ROUNDS)]
    finally:
        here.send("done")
        server.join(timeout=10)
    bare = min(bare for bare, _ in pairs)
    ours = min(ours for _, ours in pairs)
    return {"fetch_100_bare_httpx_s": bare, "fetch_100_client_s": ours, "fetch_client_over_httpx": ours / bare}


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:28} {value:8.3f}")
