"""The first line: where the data is, how much there is, what waits for a person, and how old all of it is."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.app import RenderResult
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.tones import content
from screens.words import Phrase, Tone, clean, count, health, shortened, span

FRESH_S = 3.0  # a picture older than this is said to be old
SITE_WIDTH = 30
NARROW = 100  # cells
RUNNING, STOPPING = "running", "stopping"  # the schedule in this console
LEAST_DATABASE = 12  # cells; less of its path says nothing


@dataclass(frozen=True)
class Facts:
    """What the line is made of."""

    database: str = ""
    site: str = ""
    events: int | None = None  # None: nothing has been read yet
    served: int = 0
    races: int = 0
    laps: int = 0
    failed: int = 0
    running: int = 0
    warnings: int = 0
    age_s: float | None = None  # of the picture; None: there is none yet
    trouble: bool = False
    closing: bool = False
    badge: str = ""  # what must not be overlooked: DISABLED, PROTECTED, READ-ONLY
    health: str = ""  # healthy, degraded, failing, disabled; empty while nothing is known
    schedule: str = ""  # of this console: running, stopping; empty where it is not run here


def freshness(facts: Facts) -> Phrase:
    """How old the picture is; silence about that would be a lie."""
    if facts.closing:
        return Phrase("◐ stopping the runs", Tone.BUSY)
    if facts.age_s is None:
        return Phrase("✗ no picture", Tone.BAD) if facts.trouble else Phrase("◐ reading", Tone.BUSY)
    if facts.age_s > FRESH_S or facts.trouble:
        return Phrase(f"✗ {span(facts.age_s)} old", Tone.BAD)
    return Phrase("● live", Tone.GOOD)


def condition(facts: Facts) -> Phrase:
    """How the pipeline is; what an old picture says of it is no news, and a badge says DISABLED already."""
    if not facts.health or facts.badge.lower().startswith(facts.health):
        return Phrase("")
    if facts.age_s is not None and facts.age_s > FRESH_S and not facts.trouble:
        return Phrase(f"? was {facts.health}", Tone.QUIET)
    return health(facts.health)


def header_line(facts: Facts, width: int) -> list[Phrase]:
    """The line in a given width. What matters least is left out first; badge, freshness, warnings never are."""
    right = [freshness(facts)]
    if facts.warnings:
        right.insert(0, Phrase(f"▲ {count(facts.warnings, 'warning')} (w)  ", Tone.WARN))
    if facts.schedule:
        right.insert(0, Phrase("◐ schedule  " if facts.schedule == RUNNING else "◐ schedule stops  ", Tone.BUSY))
    if (how := condition(facts)).text:
        key = " (H)" if how.tone in (Tone.WARN, Tone.BAD) and width >= NARROW else ""
        right.insert(0, Phrase(f"{how.text}{key}  ", how.tone))
    if facts.badge:
        right.insert(0, Phrase(f"■ {facts.badge}  ", Tone.BAD))
    counts: list[Phrase] = []
    if facts.events is not None:
        counts = [
            Phrase(f"{facts.failed} failed" if facts.failed else "", Tone.BAD),
            Phrase(f"{facts.running} running" if facts.running else "", Tone.BUSY),
            Phrase(f"{facts.served:,} served"),
            Phrase(count(facts.races, "race")),
            Phrase(count(facts.laps, "lap")),
        ]
        # The pane's title has their number too: where there is no room for both, failures matter more.
        counts.insert(2 if width < NARROW else 0, Phrase(count(facts.events, "event")))
    room = width - _length(right) - 4
    site = Phrase(shortened(clean(facts.site), SITE_WIDTH), Tone.QUIET)
    # Beside a badge, or on a narrow line, failures matter more than where the data is.
    kept = 8 + (0 if facts.badge or width < NARROW else LEAST_DATABASE)
    middle = _fitting(counts, room - kept - cell_len(site.text))
    if not middle:
        site, middle = Phrase(""), _fitting(counts, room - kept)
    left = [Phrase(" MRE ", Tone.BUSY), site]
    for phrase in middle:
        left += [Phrase(" · ", Tone.QUIET), phrase] if left[-1].text else [phrase]
    database = shortened(clean(facts.database), room - _length(left) - 3)
    if len(database) >= LEAST_DATABASE or database == facts.database:
        left[1:1] = [Phrase(database, Tone.QUIET), Phrase(" · ", Tone.QUIET)]
    gap = max(2, width - _length(left) - _length(right) - 1)
    return [*left, Phrase(" " * gap), *right, Phrase(" ")]


def _fitting(counts: list[Phrase], room: int) -> list[Phrase]:
    """As many of the counts, from the first on, as there is room for."""
    fitting = [phrase for phrase in counts if phrase.text]
    while fitting and _length(fitting) + 3 * len(fitting) > room:
        fitting.pop()
    return fitting


def _length(phrases: list[Phrase]) -> int:
    return sum(cell_len(phrase.text) for phrase in phrases)


class Header(Widget):
    """Paints the first line."""

    DEFAULT_CSS = "Header { height: 1; background: $panel; color: $foreground; }"

    facts: reactive[Facts] = reactive(Facts())

    def render(self) -> RenderResult:
        return content(header_line(self.facts, self.size.width))
