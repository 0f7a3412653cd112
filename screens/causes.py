"""Failures by cause: forty events that failed of one thing are one thing to mend. From a cause to its events.

A cause is stage, kind, page type and field. Retrying a cause is a plan, as for all failed events; an event that is held
stays so until a person names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import work
from textual.binding import Binding, BindingType

from pipeline.errors import PipelineError
from screens.actions import DetailScreen
from screens.background import off_loop
from screens.browse import Item
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.telling import Line
from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, ago, clean, count

if TYPE_CHECKING:
    from pipeline.failures import FailureGroup
    from pipeline.snapshot import EventLine

DAYS = 30  # how far `ConsoleService.failure_groups` looks back
GONE = "It is not known any more."


class Leads(NamedTuple):
    """What the home screen does for whoever looks at failures."""

    retry: Callable[[Sequence[str]], object]  # plan to ingest these failed events again
    ingest: Callable[[str], object]  # this one, at once
    explain: Callable[[EventLine], object]  # why this one failed
    open: Callable[[EventLine], object]  # back to the list of events, with the cursor on it


CAUSE_COLUMNS = (
    Column("Failing", 7, right=True),
    Column("Cause", 18, flex=1),
    Column("Stage", 9, rank=4),
    Column("Where", 16, flex=1, rank=1),
    Column("Runs", 5, right=True),
    Column("Events", 6, right=True, rank=3),
    Column("First seen", 10, rank=2),
    Column("Last seen", 10),
)


def place(group: FailureGroup) -> str:
    """Where it fails: page type and field, as far as there is one."""
    return " · ".join(clean(part).replace("_", " ") for part in (group.page_type, group.field) if part) or "–"


def cause_row(group: FailureGroup, now: int) -> Row:
    """A cause at the moment `now` (UTC ms)."""
    still = group.open_count > 0
    tone = Tone.PLAIN if still else Tone.QUIET
    return Row(
        cause_key(group),
        (
            Phrase(f"✗ {group.open_count:,}" if still else "–", Tone.BAD if still else Tone.QUIET),
            Phrase(clean(group.kind), tone),
            Phrase(clean(group.stage), Tone.QUIET),
            Phrase(place(group), tone),
            Phrase(f"{group.count:,}", tone),
            Phrase(f"{group.event_count:,}", tone),
            Phrase(ago(group.first_seen, max(now, group.first_seen)), Tone.QUIET),
            Phrase(ago(group.last_seen, max(now, group.last_seen)), tone),
        ),
    )


def cause_key(group: FailureGroup) -> str:
    return "/".join(part or "" for part in (group.stage, group.kind, group.page_type, group.field))


def _whole(group: FailureGroup) -> str:
    """`fetch failed with TIMEOUT at race result`."""
    where = place(group)
    return f"{clean(group.stage)} failed with {clean(group.kind)}" + (f" at {where}" if where != "–" else "")


class FollowingScreen(DetailScreen[Item]):
    """Reads again when another event fails, or one does not any more."""

    _failed: int | None = None

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._follow)

    def _follow(self, picture: Picture) -> None:
        snapshot = picture.snapshot
        failed = None if snapshot is None else snapshot.totals.events_by_state.get("failed", 0)
        changed, self._failed = self._failed is not None and failed != self._failed, failed
        if changed:
            self.read()


class CausesScreen(FollowingScreen["FailureGroup"]):
    """The causes of the last month, those that events still fail of first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Retry these", id="causes.retry", tooltip="Plan to ingest the events that still fail"),
        Binding("e", "explain", "Why", id="causes.explain", tooltip="Why the newest of its events failed"),
    ]
    columns = CAUSE_COLUMNS

    def __init__(self, service: ConsoleService, leads: Leads, now: int) -> None:
        """`now` is the moment of the picture, in UTC milliseconds."""
        super().__init__(service, ("Events", "failures by cause"))
        self._leads = leads
        self._now = now

    def ask(self) -> tuple[FailureGroup, ...]:
        return self.service.failure_groups()

    def row(self, item: FailureGroup) -> Row:
        return cause_row(item, self._now)

    def about(self) -> str:
        still = len({event for group in self.items for event in group.open_events})
        failing = f"{count(still, 'event')} still failed" if still else "no event is failed now"
        return f"{count(len(self.items), 'cause')} in {DAYS} days · {failing}"

    def nothing(self) -> str:
        return f"nothing failed in the last {DAYS} days"

    def detail(self, item: FailureGroup) -> Line:
        message = clean(item.message)
        return [Phrase(f"{_whole(item)}: {message}\n"), Phrase(clean(item.remedy), Tone.QUIET)]

    def below(self, item: FailureGroup) -> CauseScreen:
        return CauseScreen(self.service, self._leads, item)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in ("retry", "explain"):
            return True
        return True if self.is_mounted and self.item is not None and self.item.open_count else None

    def action_retry(self) -> None:
        if self.item is not None:
            self._leads.retry(self.item.open_events)

    def action_explain(self) -> None:
        if self.item is not None:
            self._explain(self.item.open_events[0])

    @work(exclusive=True, group="explain")
    async def _explain(self, event: str) -> None:
        await _with_line(self, event, self._leads.explain)


async def _with_line(screen: CausesScreen | CauseScreen, event: str, do: Callable[[EventLine], object]) -> None:
    """Ask how an event stands now, and go on with it."""
    try:
        line = await off_loop(partial(screen.service.event_line, event))
    except PipelineError as error:
        screen.app.push_screen(error_screen(error))
        return
    if line is None:
        screen.notify(f"{clean(event)}: {GONE}", severity="warning", markup=False)
    else:
        do(line)


EVENT_COLUMNS = (Column("State", 18), Column("Event", 24, flex=1))


class CauseScreen(FollowingScreen[str]):
    """The events of one cause: those that still fail, then what is known of the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "explain", "Why", id="cause.explain", tooltip="Why the event under the cursor failed"),
        Binding("r", "retry", "Retry it", id="cause.retry", tooltip="Ingest the event under the cursor again"),
        Binding("R", "retry_all", "Retry all", id="cause.retry_all", tooltip="Plan to ingest all that still fail"),
    ]
    columns = EVENT_COLUMNS

    def __init__(self, service: ConsoleService, leads: Leads, group: FailureGroup) -> None:
        super().__init__(service, ("Events", "failures by cause", _whole(group)))
        self._leads = leads
        self._group = group

    def ask(self) -> tuple[str, ...]:
        """Look again which still fail: a retry may have mended them meanwhile."""
        key = cause_key(self._group)
        found = next((one for one in self.service.failure_groups() if cause_key(one) == key), None)
        if found is not None:
            self._group = found
        still = self._group.open_events
        return (*still, *(event for event in self._group.events if event not in still))

    def row(self, item: str) -> Row:
        failed = item in self._group.open_events
        said = Phrase("✗ failed by this", Tone.BAD) if failed else Phrase("– not any more", Tone.QUIET)
        return Row(item, (said, Phrase(clean(item), Tone.PLAIN if failed else Tone.QUIET)))

    def about(self) -> str:
        group = self._group
        hidden = group.event_count - len(self.items)
        more = f" · {hidden:,} older ones are not listed" if hidden > 0 else ""
        return f"{count(group.open_count, 'event')} of {group.event_count:,} still failed · enter shows one{more}"

    def detail(self, item: str) -> Line:
        return [Phrase(f"{clean(self._group.message)}\n"), Phrase(clean(self._group.remedy), Tone.QUIET)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in ("explain", "retry", "retry_all"):
            return True
        if action == "retry_all":
            return True if self._group.open_count else None
        return True if self.is_mounted and self.item in self._group.open_events else None

    def below(self, item: str) -> None:
        self._go(item, self._leads.open)

    def action_explain(self) -> None:
        if self.item is not None:
            self._go(self.item, self._leads.explain)

    @work(exclusive=True, group="explain")
    async def _go(self, event: str, do: Callable[[EventLine], object]) -> None:
        await _with_line(self, event, do)

    def action_retry(self) -> None:
        if self.item is not None:
            self._leads.ingest(self.item)

    def action_retry_all(self) -> None:
        self._leads.retry(self._group.open_events)
