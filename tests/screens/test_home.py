"""What the home screen does: acting on events, filtering, the log, staleness, quitting. Driven by keys."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from mre_console.app import ConsoleApp
from pipeline.errors import Kind
from pipeline.ingest import IngestReport
from screens.asking import AskScreen
from screens.browse import RacesScreen
from screens.failure import FailureScreen
from screens.home import HomeScreen
from screens.reading import ReadingScreen
from screens.welcome import WelcomeScreen
from screens.widgets.header import Header, freshness
from screens.widgets.log import LogView
from screens.widgets.table import RowTable
from tests.screens.fakes import (
    BROKEN_RACE,
    EVENTS,
    FakeService,
    StillClock,
    busy_service,
    console,
    event,
    failure,
    log_lines,
    served,
)
from tests.screens.pictures import play, play_to_the_end, press_all, settled

URL = "https://thornhill.liverc.com/results/?p=view_event&id=4861"
Console = Pilot[str | None]


def home(pilot: Console) -> HomeScreen:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, HomeScreen)
    return screen


def events_table(pilot: Console) -> RowTable:
    return home(pilot).query_one("#events", RowTable)


def title_of(pilot: Console, pane: str) -> str:
    return home(pilot)._titles[pane]


def said(pilot: Console) -> list[str]:
    """The notes that pop up."""
    return [note.message for note in pilot.app._notifications]


async def look_again(pilot: Console) -> None:
    """Let the console take another picture."""
    home(pilot)._source.nudge()
    await settled(pilot)


# ---------------------------------------------------------------- adding and ingesting


def test_adding_an_event_makes_it_known_and_ingests_it() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "a")
        pilot.app.screen.query_one(Input).value = URL
        await press_all(pilot, ("enter",))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == [("add_event", URL), ("start_ingest", URL)]


def test_a_bad_url_keeps_the_dialog_open_with_the_reason_and_the_text() -> None:
    refusal = failure(Kind.USAGE, "this is no event", remedy="Copy the address from a browser.")
    service = busy_service(refusal=refusal)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("a", "x", "y", "enter"))
        screen = pilot.app.screen
        assert isinstance(screen, AskScreen)
        assert str(screen.query_one("#message", Static).render()) == (
            "✗ this is no event\nCopy the address from a browser."
        )
        assert screen.query_one(Input).value == "xy"
        service.refusal = None
        await press_all(pilot, ("enter",))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == [("add_event", "xy"), ("add_event", "xy"), ("start_ingest", "xy")]


def test_an_empty_answer_and_cancel_do_nothing() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("a", "enter"))
        assert isinstance(pilot.app.screen, AskScreen)
        await press_all(pilot, ("escape",))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == []


def test_r_ingests_the_selected_event_once_however_often_it_is_pressed() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "r", "r", "r"))
        assert said(pilot) == ["thornhill/4863 is being ingested already."] * 2

    play(console(service), steps)
    assert service.called == [("start_ingest", "thornhill/4863")]


def test_an_event_that_is_running_is_not_started_again() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "r")
        assert said(pilot) == ["thornhill/4861 is being ingested already."]

    play(console(service), steps)
    assert service.called == []


def test_how_a_run_ended_is_said_and_it_may_be_started_again() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "r"))
        assert service.done is not None
        service.done(BROKEN_RACE)
        await settled(pilot)
        assert said(pilot) == ["the answer for race 6304829 is not a race result page\ne says why."]
        await press_all(pilot, "r")
        service.done(IngestReport("published", "thornhill/4863", "Spring Cup", 61, 14, 126, 4_129, "", 0, 3.2))
        await settled(pilot)
        assert said(pilot)[1:] == ["Spring Cup is published: 14 races, 4,129 laps."]

    play(console(service), steps)
    assert service.called == [("start_ingest", "thornhill/4863")] * 2


def test_a_refused_ingestion_is_shown_to_be_copied_and_the_console_lives_on() -> None:
    service = busy_service(refusal=failure(Kind.DB_READONLY, "the database cannot be written"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "r"))
        assert isinstance(pilot.app.screen, ReadingScreen)
        await press_all(pilot, ("c", "escape"))
        assert "the database cannot be written" in pilot.app.clipboard
        assert "DB_READONLY" in pilot.app.clipboard
        assert isinstance(pilot.app.screen, HomeScreen)
        await press_all(pilot, ("r", "escape"))  # it is not taken for running

    play(console(service), steps)
    assert service.called == [("start_ingest", "thornhill/4863")] * 2


def test_a_fault_of_the_program_behind_a_key_is_shown_too() -> None:
    service = busy_service()

    def explode(event: str, **_: object) -> object:
        raise ZeroDivisionError("of all things")

    service.start_ingest = explode  # type: ignore[method-assign]

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "r", "c", "escape"))
        assert "ZeroDivisionError: of all things" in pilot.app.clipboard

    play(console(service), steps)


def test_following_a_track_lists_its_events() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("t", *"bayrc", "enter"))
        await press_all(pilot, ("j", "u"))
        assert said(pilot) == ["canberraoffroad: 2 events listed."]

    play(console(service), steps)
    assert service.called == [("follow", "bayrc"), ("refresh_track", "bayrc"), ("refresh_track", "canberraoffroad")]


def test_the_contact_is_asked_for_before_anything_is_fetched() -> None:
    service = busy_service(contact=None)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "r", *"nobody", "enter"))
        assert isinstance(pilot.app.screen, AskScreen)
        assert service.called == []
        pilot.app.screen.query_one(Input).value = "me@example.org"
        await press_all(pilot, ("enter",))

    play(console(service), steps)
    assert service.contact == "me@example.org"
    assert service.called == [("start_ingest", "thornhill/4863")]


# ---------------------------------------------------------------- looking into events


def test_enter_goes_down_to_the_laps_and_escape_comes_back() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "enter", "j", "enter", "j", "j", "enter"))
        assert service.called == [("races", 2), ("results", 102), ("laps", 903)]
        trail = str(pilot.app.screen.query_one("#trail", Static).render())
        assert trail == "Events › Nitro Challenge › 1/8 Electric Buggy C-Main › ÅSA LINDQVIST"
        await press_all(pilot, ("enter", "escape", "escape", "escape"))
        assert isinstance(pilot.app.screen, HomeScreen)
        assert events_table(pilot).key == "2"

    play(console(service), steps)


def test_races_are_read_again_when_a_newer_run_is_served() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "enter"))
        await look_again(pilot)
        assert service.called == [("races", 2)]
        newer = msgspec.structs.replace(EVENTS[1], state="complete", current_run_id=59)
        service.events = (EVENTS[0], newer, *EVENTS[2:])
        await look_again(pilot)
        assert service.called == [("races", 2), ("races", 2)]
        assert "run 59" in str(pilot.app.screen.query_one("#about", Static).render())

    play(console(service), steps)


def test_enter_on_an_event_that_failed_and_serves_nothing_says_why() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "enter"))
        assert isinstance(pilot.app.screen, RacesScreen)  # failed, still serving run 41
        await press_all(pilot, ("escape", "j", "enter"))
        assert isinstance(pilot.app.screen, FailureScreen)

    play(console(busy_service()), steps)


def test_the_failure_can_be_copied_and_retried() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "e", "c"))
        copied = pilot.app.clipboard
        for part in (
            "PAGE_UNRECOGNISED",
            "view_race_result&id=6304829",
            "Still run 41",
            "open the URL in a browser",
            "[12]",
        ):
            assert part in copied
        await press_all(pilot, "r")
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == [("run_log", 57), ("start_ingest", "thornhill/4863")]


def test_e_means_nothing_where_nothing_failed() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, "e")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert not pilot.app.screen.active_bindings["e"].enabled
        await press_all(pilot, ("j", "j"))
        assert pilot.app.screen.active_bindings["e"].enabled

    play(console(busy_service()), steps)


# ---------------------------------------------------------------- the events


def test_the_filter_narrows_the_events_as_it_is_typed_and_escape_shows_all() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("slash", *"failed"))
        assert [row.key for row in events_table(pilot).rows] == ["3", "4"]
        await press_all(pilot, ("enter", "j"))
        assert events_table(pilot).key == "4"
        assert title_of(pilot, "events-pane") == "Events 2 matching “failed”"
        await press_all(pilot, ("escape",))
        assert len(events_table(pilot).rows) == len(EVENTS)
        assert events_table(pilot).key == "4"

    play(console(busy_service()), steps)


def test_a_filter_that_looks_like_markup_is_only_text() -> None:
    async def steps(pilot: Console) -> None:
        field = home(pilot).query_one("#filter", Input)
        await press_all(pilot, ("slash",))
        for text in ("[/", "[red]", "[/nothing]", "\\["):
            field.value = text
            await settled(pilot)
            assert text in title_of(pilot, "events-pane")

    play(console(busy_service()), steps)


def test_keys_typed_into_the_filter_do_nothing_else() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("slash", *"raq"))
        assert pilot.app.screen.query_one("#filter", Input).value == "raq"

    play(console(service), steps)
    assert service.called == []


def test_the_cursor_stays_on_its_event_when_events_move() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "j", "j"))
        assert events_table(pilot).key == "5"
        service.events = (msgspec.structs.replace(EVENTS[4], state="running"), *EVENTS[:4], *EVENTS[5:])
        await look_again(pilot)
        assert (events_table(pilot).key, events_table(pilot).cursor) == ("5", 0)

    play(console(service), steps)


def test_what_comes_from_outside_is_never_markup_nor_control_characters() -> None:
    nasty = event(
        1,
        event_name="[red]x[/red] \x1b[2J\u202e[/]",
        state="failed",
        failure=failure(Kind.NO_RACES, "[/] \x07 [@click=app.quit]").envelope(),
    )
    service = FakeService(events=(nasty,), warnings=log_lines(5), log=log_lines(5))

    async def steps(pilot: Console) -> None:
        name = events_table(pilot).rows[0].cells[2].text
        assert name == "[red]x[/red]  [2J [/]"
        await press_all(pilot, ("e", "escape", "r"))
        assert service.done is not None
        service.done(failure(Kind.NO_RACES, "[/] [@click=app.quit] \x1b[2J"))
        await settled(pilot)

    play(console(service), steps)


# ---------------------------------------------------------------- the log


def log(pilot: Console) -> LogView:
    return home(pilot).query_one(LogView)


def test_the_log_follows_its_end() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        for first in (61, 91, 121):
            service.log = (*service.log, *log_lines(30, first=first))
            await look_again(pilot)
            assert log(pilot).scroll_offset.y == log(pilot).max_scroll_y > 0
        assert log(pilot).following

    play(console(service), steps)


def test_looking_back_stops_following_and_never_jumps() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("4", "k", "k"))
        view = log(pilot)
        top = view.scroll_offset.y
        on_top = view.book.shown[top]
        for first in (61, 91):
            service.log = (*service.log, *log_lines(30, first=first))
            await look_again(pilot)
            assert view.scroll_offset.y == top
            assert view.book.shown[top] == on_top
        assert "+48 lines" in title_of(pilot, "log")  # of 60, a fifth is debug and not shown
        await press_all(pilot, "f")
        assert view.following
        assert view.scroll_offset.y == view.max_scroll_y
        assert "following" in title_of(pilot, "log")

    play(console(service), steps)


def test_scrolling_down_to_the_end_follows_again() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("4", "k"))
        assert not log(pilot).following
        await press_all(pilot, "j")
        assert log(pilot).following

    play(console(busy_service()), steps)


def test_the_level_lets_only_worse_lines_through() -> None:
    async def steps(pilot: Console) -> None:
        seen = {}
        for _ in range(4):
            seen[log(pilot).book.level] = {line.severity for line in log(pilot).book.shown}
            await press_all(pilot, "L")
        assert seen == {
            "info": {"info", "warning", "error"},
            "warning": {"warning", "error"},
            "error": {"error"},
            "debug": {"debug", "info", "warning", "error"},
        }

    play(console(busy_service()), steps)


def test_changing_the_level_while_looking_back_stays_at_the_line() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("4", "g", "j", "j", "j", "j", "j"))
        view = log(pilot)
        on_top = view.book.shown[view.scroll_offset.y].id
        await press_all(pilot, "L")
        assert view.book.shown[view.scroll_offset.y].id >= on_top
        assert all(line.id < on_top for line in view.book.shown[: view.scroll_offset.y])
        assert not view.following

    play(console(busy_service(log=log_lines(200))), steps)


def test_what_the_mouse_selects_in_the_log_can_be_copied() -> None:
    async def steps(pilot: Console) -> None:
        log(pilot).text_select_all()
        await pilot.pause()
        copied = pilot.app.screen.get_selected_text() or ""
        assert "race 7003, A. DRIVER: the table shows 17 laps" in copied

    play(console(busy_service()), steps)


# ---------------------------------------------------------------- panes


def test_tab_goes_round_the_panes_in_a_small_terminal_too() -> None:
    async def steps(pilot: Console) -> None:
        visited = []
        for _ in range(5):
            focused = pilot.app.focused
            assert focused is not None
            assert focused.region.area > 0
            visited.append(focused.id)
            await press_all(pilot, ("tab",))
        assert visited == ["events", "runs", "locks", "log", "events"]
        await press_all(pilot, ("shift+tab", "shift+tab"))
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "log"

    for size in ((80, 24), (120, 36), (200, 50)):
        play(console(busy_service()), steps, size)


def test_a_resize_brings_the_panes_back() -> None:
    async def steps(pilot: Console) -> None:
        shown = []
        for width, height in ((120, 36), (80, 24), (200, 50), (60, 15)):
            await pilot.resize_terminal(width, height)
            await settled(pilot)
            panes = ("runs", "locks", "log")
            shown.append([pane for pane in panes if home(pilot).query_one(f"#{pane}").region.area > 0])
        assert shown == [["runs", "locks", "log"], ["runs"], ["runs", "locks", "log"], ["runs"]]

    play(console(busy_service()), steps)


# ---------------------------------------------------------------- staleness


def test_an_old_picture_says_so_even_if_nothing_arrives_at_all() -> None:
    clock = StillClock()

    async def steps(pilot: Console) -> None:
        trouble = home(pilot).query_one("#trouble", Static)
        assert not trouble.display
        clock.now += 12
        home(pilot)._draw_header()
        assert freshness(home(pilot).query_one(Header).facts).text == "✗ 12 s old"
        assert str(trouble.render()) == (
            "▲ What you see is 12 s old: the database does not answer. Trying again every second."
        )

    play(console(busy_service(), clock), steps)


def test_a_failing_look_keeps_the_old_picture_and_says_why_until_it_is_over() -> None:
    service, clock = busy_service(), StillClock()

    async def steps(pilot: Console) -> None:
        service.broken = failure(Kind.DB_BUSY, "the database is locked")
        clock.now += 2
        await look_again(pilot)
        trouble = home(pilot).query_one("#trouble", Static)
        assert "2 s old: the database is locked [DB_BUSY]" in str(trouble.render())
        assert len(events_table(pilot).rows) == len(EVENTS)
        service.broken = None
        await look_again(pilot)
        assert not trouble.display
        assert freshness(home(pilot).query_one(Header).facts).text == "● live"

    play(console(service, clock), steps)


# ---------------------------------------------------------------- the first start, and the end


@pytest.mark.parametrize("key", ["t", "a"])
def test_the_first_start_leads_to_work_and_comes_back_if_nothing_came_of_it(key: str) -> None:
    service = FakeService()

    async def steps(pilot: Console) -> None:
        assert isinstance(pilot.app.screen, WelcomeScreen)
        await press_all(pilot, (key, "escape"))
        await look_again(pilot)
        assert isinstance(pilot.app.screen, WelcomeScreen)
        await press_all(pilot, (key, *"bayrc", "enter"))
        await look_again(pilot)
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called


def test_the_first_start_asks_who_fetches() -> None:
    service = FakeService(contact=None)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("enter",))
        assert isinstance(pilot.app.screen, AskScreen)
        pilot.app.screen.query_one(Input).value = "me@example.org"
        await press_all(pilot, ("enter",))
        await look_again(pilot)
        assert isinstance(pilot.app.screen, WelcomeScreen)

    play(console(service), steps)
    assert service.contact == "me@example.org"


def test_the_demo_is_the_apps_result() -> None:
    app = console(FakeService())

    async def steps(pilot: Console) -> None:
        await settled(pilot)
        await pilot.press("d")

    assert play_to_the_end(app, steps) == "demo"


def test_events_known_means_no_welcome() -> None:
    async def steps(pilot: Console) -> None:
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(FakeService(events=(served(5, 33, 3),))), steps)


class Stubborn(FakeService):
    """Its runs end only some looks after they were asked to."""

    looks = 0

    def running_here(self) -> int:
        self.looks += 1
        return 0 if self.stopped.is_set() and self.looks > 5 else 3


def test_quitting_stops_the_runs_and_waits_for_their_end() -> None:
    service = Stubborn(events=EVENTS)

    async def steps(pilot: Console) -> None:
        await settled(pilot)
        await pilot.press("q")

    play_to_the_end(console(service), steps)
    assert service.called == [("stop", "the console was closed")]
    assert service.looks == 6


class RunsOn(FakeService):
    """Its runs never end; every look at them takes a tenth of a second of the console's clock."""

    clock: StillClock

    def running_here(self) -> int:
        self.clock.now += 0.1
        return 3


def test_quitting_waits_no_longer_than_it_says() -> None:
    service = RunsOn(events=EVENTS)
    service.clock = StillClock()
    began = service.clock.now

    async def steps(pilot: Console) -> None:
        await settled(pilot)
        await pilot.press("q", "q")

    play_to_the_end(console(service, service.clock), steps)
    assert 0.8 <= service.clock.now - began <= 1.0
    assert service.called == [("stop", "the console was closed")]


@pytest.mark.parametrize("keys", [("a",), ("slash",), ("w",), ("question_mark",), ("j", "j", "e")])
def test_ctrl_q_quits_from_everywhere(keys: tuple[str, ...]) -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, keys)
        await pilot.press("ctrl+q")

    app: ConsoleApp = console(service)
    play_to_the_end(app, steps)
    assert ("stop", "the console was closed") in service.called
