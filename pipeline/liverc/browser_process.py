"""The process that holds the browser: renders one page at a time for the program that started it.

It talks in lines of JSON over its standard streams. The browser has no network of its own: every request of a page is
asked for over the same line, so that politeness, robots.txt, limits and the switch hold for it as for any other fetch.
Whatever hangs in here, the other end ends it by force.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, Route, sync_playwright

WANTED = ("document", "script", "xhr", "fetch")  # what a page's data can come by
EMPTY = {"stylesheet": "text/css"}  # answered with nothing, so that scripts that wait for it go on
QUIET_MS = 500  # without a request under way and without a change to the page
SETTLE_S = 6.0  # a page that is never quiet is taken as it is after this
DOCUMENTS = 6  # navigations of one page: more is a loop
REQUESTS = 100
KEPT_LINES = 500  # of the console

# Nothing resolves: what is not answered over the line cannot be fetched at all.
ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-default-browser-check",
)
_WATCH = """
window.__mre_changed = performance.now();
new MutationObserver(() => { window.__mre_changed = performance.now(); })
  .observe(document, {subtree: true, childList: true, characterData: true});
"""


class Line:
    """The other end."""

    def __init__(self) -> None:
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints must not end up between the lines

    def say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def hear(self) -> dict[str, Any]:
        """The next message. The end of the line ends this process."""
        line = self._in.readline()
        if not line:
            raise SystemExit(0)
        message: dict[str, Any] = json.loads(line)
        return message


class GiveUpError(Exception):
    """The page cannot be had; the reason is for people."""


class Visit:
    """One page in a context of its own."""

    def __init__(self, line: Line, context: BrowserContext, job: dict[str, Any]) -> None:
        self._line = line
        self._context = context
        self._url: str = job["url"]
        self._deadline = time.monotonic() + float(job["seconds"])
        self._documents = 0
        self._requests = 0
        self._pending = 0
        self._refused: str | None = None  # why a navigation of the page itself was not answered
        self.served = b""  # the newest document as it came
        self.lines: list[str] = []
        self.page: Page = context.new_page()
        context.on("page", self._close_popup)
        context.route("**/*", self._answer)
        context.route_web_socket("**/*", lambda socket: socket.close())
        self.page.on("console", lambda said: self._note(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self._note(f"error: {error}"))
        self.page.on("dialog", self._dismiss)
        self.page.on("crash", lambda _page: self._note("the page crashed"))

    def render(self) -> tuple[str, str]:
        """The page once it is quiet, as HTML, and its address. Raises GiveUpError, playwright's Error."""
        self.page.add_init_script(_WATCH)
        self.page.set_default_timeout(self._left_ms())
        try:
            self.page.goto(self._url, wait_until="domcontentloaded", timeout=self._left_ms())
            self._settle()
        except Error:
            if self._refused is not None:
                raise GiveUpError(self._refused) from None
            raise
        if self._refused is not None:
            raise GiveUpError(self._refused)
        return self.page.content(), self.page.url

    def _settle(self) -> None:
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            changed = self.page.evaluate("performance.now() - (window.__mre_changed ?? 0)")
            if self._pending == 0 and changed >= QUIET_MS:
                return
            self.page.wait_for_timeout(50)
            if self._refused is not None:
                return
            self._left_ms()
        self._note("the page was never quiet; taken as it is")

    def _left_ms(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise GiveUpError("the page was not finished in time")
        return left * 1000

    # ------------------------------------------------------------------ what a page asks for

    def _answer(self, route: Route) -> None:
        self._pending += 1
        try:
            self._answer_one(route, route.request)
        except Error as error:  # the page is gone already
            self._note(f"unanswered: {error.message.splitlines()[0]}")
        finally:
            self._pending -= 1

    def _answer_one(self, route: Route, request: Request) -> None:
        kind = request.resource_type
        if kind in EMPTY:
            route.fulfill(status=200, content_type=EMPTY[kind], body="")
            return
        is_page = request.is_navigation_request() and request.frame == self.page.main_frame
        why = self._why_not(request, is_page=is_page)
        if why is not None:
            self._refuse(route, request, why, is_page=is_page)
            return
        self._line.say({"ask": request.url, "kind": kind})
        asked = time.monotonic()
        reply = self._line.hear()
        self._deadline += time.monotonic() - asked  # waiting for one's turn is not the page's fault
        if "refused" in reply:
            self._refuse(route, request, reply["refused"], is_page=is_page)
            return
        body = base64.b64decode(reply["body"])
        if is_page:
            self.served = body
        route.fulfill(status=reply["status"], content_type=reply["type"], body=body)

    def _why_not(self, request: Request, *, is_page: bool) -> str | None:
        self._requests += 1
        self._documents += is_page
        if self._documents > DOCUMENTS:
            return f"the page went on to another more than {DOCUMENTS} times"
        if self._requests > REQUESTS:
            return f"the page asked for more than {REQUESTS} things"
        if request.resource_type not in WANTED:
            return "not needed"
        if request.method != "GET":
            return f"{request.method} is not sent"
        return None

    def _refuse(self, route: Route, request: Request, why: str, *, is_page: bool) -> None:
        if is_page:
            self._refused = why
        if why != "not needed":
            self._note(f"refused {request.method} {request.url[:200]}: {why}")
        route.abort("blockedbyclient")

    def _dismiss(self, dialog: Any) -> None:
        self._note(f"dialog {dialog.type}: {dialog.message[:200]}")
        with suppress(Error):
            dialog.dismiss()

    def _close_popup(self, popup: Page) -> None:
        if popup != self.page:
            self._note(f"popup closed: {popup.url[:200]}")
            with suppress(Error):
                popup.close()

    def _note(self, text: str) -> None:
        if len(self.lines) < KEPT_LINES:
            self.lines.append(text[:1_000])

    # ------------------------------------------------------------------ what is kept of it

    def keep(self, folder: Path) -> None:
        """What somebody needs who looks into it later. A page that hangs gives no picture, but what it was made of."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "console.log").write_text("\n".join([f"{self._url}", *self.lines]) + "\n", encoding="utf-8")
        (folder / "served.html").write_bytes(self.served)
        with suppress(Error):
            self.page.screenshot(path=folder / "screenshot.png", full_page=True, timeout=3_000)
            (folder / "dom.html").write_text(self.page.content(), encoding="utf-8")  # only where it answers at all


def serve(line: Line, browser: Browser) -> None:
    """Do what is asked until the line ends."""
    while True:
        job = line.hear()
        if job["do"] == "probe":
            context = browser.new_context()
            context.new_page().goto("about:blank")
            context.close()
            line.say({"done": True})
        else:
            line.say(visit(line, browser, job))


def visit(line: Line, browser: Browser, job: dict[str, Any]) -> dict[str, Any]:
    """Render one page: what came of it. Nothing of it is left in the browser."""
    context = browser.new_context(service_workers="block", accept_downloads=False, user_agent=job["agent"])
    one = Visit(line, context, job)
    folder = Path(job["folder"]) if job["folder"] else None
    try:
        html, url = one.render()
        if folder is not None and job["keep"]:
            one.keep(folder)
        context.close()
    except (Error, GiveUpError) as error:
        why = error.message.splitlines()[0] if isinstance(error, Error) else str(error)
        if folder is not None:
            one.keep(folder)
        return {"failed": why[:300], "lines": one.lines[-5:]}
    return {"html": html, "url": url}


def main() -> None:
    settings = json.loads(sys.argv[1])
    line = Line()
    arguments = [*ARGUMENTS, settings["mark"]]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    if settings["headed"]:
        arguments.append("--auto-open-devtools-for-tabs")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=settings["executable"],
                headless=not settings["headed"],
                args=arguments,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except Error as error:
            line.say({"failed": error.message.splitlines()[0][:300], "lines": []})
            return
        line.say({"done": browser.version})
        serve(line, browser)


if __name__ == "__main__":
    main()
