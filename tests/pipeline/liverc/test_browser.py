"""The browser: pages made by scripts read as the plain ones do, and nothing that a page does outlasts its deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.scripted import MISBEHAVIOURS, ScriptedSite
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.liverc import browser as browsing
from pipeline.liverc.browser import Browser, BrowserSettings
from pipeline.liverc.client import Client, ClientSettings
from pipeline.liverc.errand import Errand
from pipeline.liverc.page import Page, Resource
from pipeline.liverc.readers import read_page
from pipeline.liverc.sources import wants_scripts
from pipeline.liverc.urls import parse_url, race_url
from pipeline.replay import archived_pages
from pipeline.service import Service, ServiceSettings
from pipeline.store import runs as run_rows
from tests.support.databases import SqliteFiles
from tests.support.real_pages import REAL

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(browsing.found() is None, reason="no Chromium: apt-get install chromium"),
]
FAULTS = os.environ.get("MRE_FAULTS", "") not in ("", "0")
RENDERED = ("event", "race_result", "entry_list")
PAGE_S = 2.0
BOUND_S = 2 * (PAGE_S + browsing.GRACE_S) + 20.0  # two attempts, two starts, on a machine that has more to do
SAMPLE = ("hangs", "wanders off")


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5), frozen_frame=True)


class Desk:
    """A browser before a scripted site."""

    def __init__(self, site: SimulatedSite, folder: Path, misbehaviour: str | None = None, **how: object) -> None:
        slug, event_id = site.events()[0]
        self.url = race_url(slug, site.document(event_id).races[0].source_race_id)
        self.ref = parse_url(self.url)
        self.server = SimulatorServer(ScriptedSite(site, RENDERED, misbehaviour))
        self.server.__enter__()
        self.client = Client(ClientSettings(version="test", stand_in=self.server.url, crawl_delay_s=0))
        settings = BrowserSettings(agent="test", folder=folder, page_s=PAGE_S, **how)  # type: ignore[arg-type]
        self.before: Callable[[str], None] = lambda _url: None
        self.browser = Browser(settings, self._fetch)

    def _fetch(self, url: str, errand: Errand) -> Resource:
        self.before(url)
        return self.client.resource(url, errand)

    def render(self, stop: threading.Event | None = None) -> Page:
        errand = self.client.errand(self.url, self.ref.page_type, stop=stop)
        return self.browser.render(errand, self.ref.page_type)

    def close(self) -> None:
        self.browser.close()
        self.client.close()
        self.server.__exit__(None, None, None)


@pytest.fixture
def desk(site: SimulatedSite, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(site, tmp_path)
    yield desk
    desk.close()
    assert strays() == []


def strays() -> list[psutil.Process]:
    """Browsers that this process started and that are still there."""
    return [child for child in psutil.Process().children(recursive=True) if "chrom" in child.name()]


def chromium(desk: Desk) -> list[psutil.Process]:
    assert desk.browser.pid is not None
    family = psutil.Process(desk.browser.pid).children(recursive=True)
    return [process for process in family if "chrom" in process.name()]


# ---------------------------------------------------------------- what it is for


def test_an_event_made_by_scripts_is_published_as_it_is(
    site: SimulatedSite, sqlite_files: SqliteFiles, tmp_path: Path
) -> None:
    slug, event_id = site.events()[0]
    with SimulatorServer(ScriptedSite(site, RENDERED)) as server:
        settings = ServiceSettings(db_url=sqlite_files.url(), data=tmp_path, site=server.url, crawl_delay=0)
        with Service(settings) as service:
            report = service.ingest(f"{slug}/{event_id}")
            assert document.encode(service.export(event_id)) == document.encode(site.document(event_id))
            run = run_rows.get_run(service.store, report.run_id or 0)
            assert run is not None
            assert run.pages_manifest is not None
            manifest = service.archive.read_manifest(run.pages_manifest)
            assert {entry.how for entry in manifest.pages} == {"browser"}
            assert len({entry.url for entry in manifest.pages}) == len(manifest.pages)
            for url, body in archived_pages(service.archive, run.pages_manifest):
                read_page(body, parse_url(url))  # what was kept is what was read
    assert strays() == []


def test_plain_http_only_starts_no_browser(
    site: SimulatedSite, sqlite_files: SqliteFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Browser, "__init__", _never)
    slug, event_id = site.events()[0]
    with SimulatorServer(ScriptedSite(site, RENDERED)) as server:
        settings = ServiceSettings(
            db_url=sqlite_files.url(), data=tmp_path, site=server.url, crawl_delay=0,
            browser="never", browser_pages=frozenset(RENDERED),
        )  # fmt: skip
        with Service(settings) as service, pytest.raises(PipelineError) as failure:
            service.ingest(f"{slug}/{event_id}")
    assert failure.value.kind is Kind.PAGE_UNRECOGNISED


def test_plain_pages_need_no_browser(
    site: SimulatedSite, sqlite_files: SqliteFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Browser, "__init__", _never)
    slug, event_id = site.events()[0]
    with SimulatorServer(site) as server:
        settings = ServiceSettings(db_url=sqlite_files.url(), data=tmp_path, site=server.url, crawl_delay=0)
        with Service(settings) as service:
            assert service.ingest(f"{slug}/{event_id}").outcome == "published"


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a browser was wanted")


def test_no_plain_page_looks_as_if_it_wanted_scripts(site: SimulatedSite) -> None:
    _, event_id = site.events()[0]
    for host, target in site.addresses(event_id):
        answer = site.answer(host, target)
        assert answer is not None
        assert not wants_scripts(answer.body)


@pytest.mark.skipif(not REAL.exists(), reason="no real LiveRC pages beside the checkout")
def test_no_real_page_does() -> None:
    pages = sorted((REAL / "pages").rglob("*.html"))
    assert pages
    assert [page.name for page in pages if wants_scripts(page.read_bytes())] == []


# ---------------------------------------------------------------- how it is kept in hand


def test_a_browser_is_used_again_and_replaced_in_time(site: SimulatedSite, tmp_path: Path) -> None:
    desk = Desk(site, tmp_path, pages_each=2)
    try:
        pids = []
        for _ in range(3):
            desk.render()
            pids.append(desk.browser.pid)
        assert pids[0] == pids[1] != pids[2]
        assert not psutil.pid_exists(pids[0] or 0)
    finally:
        desk.close()
    assert strays() == []


def test_a_killed_browser_is_replaced_once(desk: Desk) -> None:
    killed: list[int] = []

    def kill(url: str) -> None:
        if "/content/" in url and not killed:
            for process in chromium(desk):
                killed.append(process.pid)
                process.kill()

    desk.before = kill
    page = desk.render()
    assert killed
    assert read_page(page.body, desk.ref) is not None


def test_a_browser_that_dies_each_time_fails_the_page(desk: Desk) -> None:
    attempts = []

    def kill(url: str) -> None:
        if "/content/" in url:
            attempts.append(url)
            for process in chromium(desk):
                process.kill()

    desk.before = kill
    with pytest.raises(FetchError) as failure:
        desk.render()
    assert failure.value.kind in (Kind.BROWSER_FAILED, Kind.TIMEOUT)
    assert len(attempts) == 2
    assert desk.browser.pid is None


def test_a_stopped_run_takes_its_browser_along(desk: Desk) -> None:
    stop = threading.Event()
    desk.before = lambda url: stop.set() if "/content/" in url else None
    with pytest.raises(PipelineError) as failure:
        desk.render(stop)
    assert failure.value.kind is Kind.INTERRUPTED
    assert desk.browser.pid is None


def test_what_the_site_refuses_is_told_as_that(desk: Desk) -> None:
    desk.url = desk.url.replace("view_race_result&id=", "view_nothing&id=")
    with pytest.raises(FetchError) as failure:
        desk.render()
    assert failure.value.kind is Kind.NOT_FOUND


def test_a_missing_browser_is_said(site: SimulatedSite, tmp_path: Path) -> None:
    desk = Desk(site, tmp_path, executable=str(tmp_path / "nothing"))
    try:
        with pytest.raises(FetchError) as failure:
            desk.render()
        assert failure.value.kind is Kind.BROWSER_MISSING
    finally:
        desk.close()


@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS if FAULTS else SAMPLE)
def test_whatever_a_page_does_it_ends(site: SimulatedSite, tmp_path: Path, misbehaviour: str) -> None:
    """Twenty kinds in `make faults`: it ends in time, leaves what explains it, and no process."""
    desk = Desk(site, tmp_path, misbehaviour)
    ended = threading.Event()
    watchdog = threading.Timer(BOUND_S, lambda: None if ended.is_set() else os.abort())
    watchdog.start()
    try:
        made = outcome(desk)
        if isinstance(made, Page):  # quiet without content: for the reader to refuse
            with pytest.raises(PipelineError):
                read_page(made.body, desk.ref)
        else:
            assert made.kind in (Kind.BROWSER_FAILED, Kind.TIMEOUT)
            assert desk.browser.pid is None
            artefacts = made.details.get("artefacts")
            kept = {file.name for file in Path(artefacts).iterdir()} if artefacts else {"console.log", "served.html"}
            assert {"console.log", "served.html"} <= kept
    finally:
        ended.set()
        watchdog.cancel()
        desk.close()
    assert strays() == []


def outcome(desk: Desk) -> Page | FetchError:
    try:
        return desk.render()
    except FetchError as error:
        return error
