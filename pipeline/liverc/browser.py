"""The browser, for pages that are nothing without their scripts. It runs in a process of its own, on a short line.

Everything about it is bounded: a page has a deadline, and what does not keep it is killed with all that it started; a
browser that failed is never used again, one that worked is asked for an empty page first and replaced after fifty. It
renders; it fetches nothing: what a page asks for comes through the client, at the client's pace and by its rules.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from msgspec import Struct

from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.liverc.errand import Errand
from pipeline.liverc.page import Page, Resource
from pipeline.liverc.urls import is_liverc_host

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")  # as commands
PAGES_EACH = 50  # of one browser
START_S = 30.0
PROBE_S = 10.0
PAGE_S = 20.0  # of the browser's own time; waiting for one's turn at the site does not count
GRACE_S = 8.0  # beyond it, for what is kept of a failed page
LOOK_EVERY_S = 0.2  # whether the run was stopped


class BrowserSettings(Struct, frozen=True, kw_only=True):
    """How pages are rendered."""

    agent: str  # the User-Agent, as everywhere
    folder: Path  # where failures (and with `keep` every page) leave screenshot, DOM, console log
    executable: str | None = None  # None: Playwright's own, else a Chromium on the path
    headed: bool = False  # with DevTools, for a person
    keep: bool = False
    page_s: float = PAGE_S
    pages_each: int = PAGES_EACH


FetchResource = Callable[[str, Errand], Resource]


class Browser:
    """Renders pages, one at a time; safe to share between threads. Nothing is started before the first page."""

    def __init__(self, settings: BrowserSettings, fetch: FetchResource) -> None:
        """`fetch` gets every URL of the site that a page asks for, with the errand it is part of."""
        self._settings = settings
        self._fetch = fetch
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def render(self, errand: Errand, page_type: str) -> Page:
        """The page at the errand's URL as it stands once it is quiet. A failure is tried again once, in a new browser.

        Raises FetchError BROWSER_MISSING; BROWSER_FAILED and TIMEOUT, with the folder of what was kept in the details;
        whatever kept the page itself from being fetched. StateError INTERRUPTED.
        """
        while not self._lock.acquire(timeout=LOOK_EVERY_S):
            errand.check()
        try:
            try:
                return self._render(errand, page_type)
            except FetchError as error:
                if error.kind not in (Kind.BROWSER_FAILED, Kind.TIMEOUT) or errand.left() <= 0:
                    raise
                return self._render(errand, page_type)
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """Of the process that holds the browser, while there is one."""
        process = self._process
        return None if process is None else process.pid

    # ------------------------------------------------------------------ inside

    def _render(self, errand: Errand, page_type: str) -> Page:
        began = time.monotonic()
        try:
            process = self._ready(errand)
            html, url = self._visit(process, errand, page_type)
        except BaseException:
            self._end()  # whatever it was, this browser is not trusted with another page
            raise
        host = urlsplit(url).hostname or ""
        if not is_liverc_host(host):
            raise errand.error(
                Kind.REDIRECT_REFUSED, f"The page went on to {host or url[:100]!r}, which is not LiveRC."
            )
        return Page(
            url=errand.url,
            page_type=page_type,
            body=html.encode("utf-8", "replace"),
            status=200,
            fetched_at_ms=round(errand.clock.wall() * 1000),
            how="browser",
            attempts=errand.attempts,
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    def _ready(self, errand: Errand) -> _Process:
        """A browser that answers: the one there is, or a new one."""
        process = self._process
        if process is not None and process.pages < self._settings.pages_each:
            try:
                process.say({"do": "probe"})
                process.hear(PROBE_S, errand)
                return process
            except FetchError:
                pass
        self._end()
        process = self._process = _Process(self._settings)
        started = process.hear(START_S, errand)
        if "failed" in started:
            raise missing(started["failed"])
        return process

    def _visit(self, process: _Process, errand: Errand, page_type: str) -> tuple[str, str]:
        settings = self._settings
        process.pages += 1
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{page_type}-{secrets.token_hex(3)}"
        folder = settings.folder / name
        job = {"do": "render", "url": errand.url, "seconds": settings.page_s, "agent": settings.agent,
               "folder": str(folder), "keep": settings.keep}  # fmt: skip
        process.say(job)
        left = settings.page_s + GRACE_S
        page_error: PipelineError | None = None
        while True:
            began = time.monotonic()
            try:
                message = process.hear(left, errand)
            except FetchError as error:
                raise error.with_details(artefacts=_shown(folder)) from error
            left -= time.monotonic() - began
            if "ask" not in message:
                break
            reply, error_ = self._reply(message, errand)
            page_error = page_error or (error_ if message["kind"] == "document" else None)
            process.say(reply)
        if "failed" not in message:
            return message["html"], message["url"]
        if page_error is not None:  # not the browser's fault
            raise page_error
        late = "not finished in time" in message["failed"] or "Timeout" in message["failed"]
        raise errand.error(
            Kind.TIMEOUT if late else Kind.BROWSER_FAILED,
            f"The browser could not render the page: {message['failed']}",
            artefacts=_shown(folder),
            console=message["lines"],
        )

    def _reply(self, message: dict[str, Any], errand: Errand) -> tuple[dict[str, Any], PipelineError | None]:
        """What the page gets for a request, and the error where it gets none."""
        url = message["ask"]
        if not is_liverc_host(urlsplit(url).hostname or ""):
            return {"refused": "it is not LiveRC's"}, None
        try:
            got = self._fetch(url, errand)
        except FetchError as error:
            return {"refused": error.message}, error
        return {"status": got.status, "type": got.content_type, "body": base64.b64encode(got.body).decode()}, None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


class _Process:
    """The other process, and everything that it started."""

    def __init__(self, settings: BrowserSettings) -> None:
        self._mark = f"--mre-mark={secrets.token_hex(8)}"  # a switch that Chromium ignores, and that it is found by
        self.pages = 0
        given = {"executable": settings.executable or found(), "headed": settings.headed, "mark": self._mark}
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [sys.executable, "-m", "pipeline.liverc.browser_process", json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # a Ctrl-C is the program's to handle
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        except OSError as error:
            raise missing(str(error)) from error
        self.pid = self._process.pid
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="browser-line", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # closed by `kill`
            for line in self._process.stdout:
                self._heard.put(line)
        self._heard.put("")

    def say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # that it is gone is heard
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def hear(self, seconds: float, errand: Errand) -> dict[str, Any]:
        """The next message. Raises FetchError TIMEOUT, BROWSER_FAILED where it is gone; StateError INTERRUPTED."""
        until = time.monotonic() + seconds
        while True:
            errand.check()
            try:
                line = self._heard.get(timeout=max(0.0, min(LOOK_EVERY_S, until - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= until:
                    raise errand.error(Kind.TIMEOUT, f"The browser did not answer for {seconds:.0f} s.") from None
                continue
            if not line:
                raise errand.error(Kind.BROWSER_FAILED, "The browser's process ended.")
            message: dict[str, Any] = json.loads(line)
            return message

    def kill(self) -> None:
        """End it and all that it started, whatever state they are in."""
        victims = self._family()
        for victim in victims:
            with suppress(psutil.Error):
                victim.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()
        psutil.wait_procs(victims, timeout=5)
        for stray in self._marked():  # a browser whose parents died before it could be found through them
            with suppress(psutil.Error):
                stray.kill()

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            first = psutil.Process(self.pid)
            return [*first.children(recursive=True), first]
        return []

    def _marked(self) -> list[psutil.Process]:
        marked = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self._mark in process.cmdline():
                    marked.append(process)
        return marked


def found() -> str | None:
    """A Chromium of this machine; None: Playwright's own, if it was downloaded."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def missing(why: str) -> FetchError:
    return FetchError(Kind.BROWSER_MISSING, f"No browser could be started: {why}")


def _shown(folder: Path) -> str | None:
    return str(folder) if folder.exists() else None
