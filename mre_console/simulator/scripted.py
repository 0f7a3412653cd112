"""Pages that are nothing without JavaScript: the same content, put together in the browser; and ones that misbehave.

A scripted site answers a page's address with an empty shell whose script fetches the content from a second address.
What the browser then holds says exactly what the plain page said. The misbehaving shells are for tests of everything
that a browser can do instead of becoming quiet.
"""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import urlsplit

from mre_console.simulator.server import Answer
from mre_console.simulator.site import SimulatedSite

CONTENT = "/content"  # the plain page stands under /content/<its own path>
SCRIPT = "/assets/app.js"

_SHELL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>LiveRC</title></head>
<body><noscript>You need to enable JavaScript to see this page.</noscript>
<div id="app"></div>
<script src="{script}"></script>{more}
</body></html>
"""

_APP = """
fetch('/content' + location.pathname + location.search)
  .then(answer => answer.text())
  .then(text => {
    const made = new DOMParser().parseFromString(text, 'text/html');
    document.title = made.title;
    document.head.replaceWith(document.adoptNode(made.head));
    document.body.replaceWith(document.adoptNode(made.body));
  });
"""

MISBEHAVIOURS = {
    "hangs": "<script>for (;;) {}</script>",
    "hangs later": "<script>setTimeout(() => { for (;;) {} }, 200)</script>",
    "alerts": "<script>alert('hello')</script>",
    "alerts for ever": "<script>for (;;) { alert('again') }</script>",
    "asks": "<script>confirm('sure?'); prompt('name?')</script>",
    "will not be left": "<script>onbeforeunload = () => 'stay'</script>",
    "reloads": "<script>location.reload()</script>",
    "wanders": "<script>location.href = '/results/?p=view_event&id=' + (1 + Math.floor(Math.random() * 1e9))</script>",
    "wanders off": "<script>location.href = 'https://elsewhere.example/'</script>",
    "pops up": "<script>for (let i = 0; i < 5; i++) open('/results/?p=view_event&id=1')</script>",
    "is never quiet": "<script>setInterval(() => { document.body.append('x') }, 20)</script>",
    "asks for too much": "<script>for (let i = 0; i < 500; i++) fetch('/content/?' + i)</script>",
    "eats memory": "<script>const all = []; for (;;) all.push(new Array(1e6).fill(Math.random()))</script>",
    "grows": "<script>(function f() { document.body.append('x'.repeat(1e6)); setTimeout(f, 1) })()</script>",
    "throws": "<script>throw new Error('broken')</script>",
    "writes over itself": "<script>document.open(); document.write(''); </script>",
    "empties itself": "<script>document.documentElement.remove()</script>",
    "listens for ever": "<script>new WebSocket('wss://live.liverc.com/w'); new EventSource('/content/stream')</script>",
    "posts": "<script>fetch('/content/', {method: 'POST', body: 'x'})</script>",
    "logs for ever": "<script>setInterval(() => console.log('x'.repeat(1e5)), 1)</script>",
}


class ScriptedSite:
    """A simulated site of which some page types are made in the browser."""

    def __init__(self, site: SimulatedSite, page_types: Container[str], misbehaviour: str | None = None) -> None:
        """`misbehaviour`: what such a page does instead, one of `MISBEHAVIOURS`."""
        self.site = site
        self._page_types = page_types
        self._misbehaviour = misbehaviour

    def answer(self, host: str, target: str) -> Answer | None:
        path = urlsplit(target).path
        if path == SCRIPT:
            return Answer(headers={"Content-Type": "text/javascript"}, body=_APP.encode())
        if path.startswith(CONTENT + "/"):
            return self.site.answer(host, target.removeprefix(CONTENT))
        if page_type(target) not in self._page_types:
            return self.site.answer(host, target)
        if self._misbehaviour is not None:
            return Answer(body=_SHELL.format(script="", more=MISBEHAVIOURS[self._misbehaviour]).encode())
        return Answer(body=_SHELL.format(script=SCRIPT, more="").encode())


def page_type(target: str) -> str:
    """The type of a page's address as far as scripted sites tell them apart."""
    for name in ("view_race_result", "view_event", "view_entry_list"):
        if f"p={name}&" in target or target.endswith(f"p={name}"):
            return {"view_race_result": "race_result", "view_event": "event", "view_entry_list": "entry_list"}[name]
    return "robots" if target == "/robots.txt" else "other"
