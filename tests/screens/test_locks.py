"""The locks by keys: who holds what and how that is known, asking to stop, taking a lock, ending a holder."""

from __future__ import annotations

import threading

import msgspec
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from pipeline.errors import Kind, PipelineError
from pipeline.leases import LockView
from pipeline.verdicts import Verdict
from screens.allowing import READ_ONLY
from screens.confirming import ConfirmScreen
from screens.home import HomeScreen
from screens.locks import LocksScreen
from screens.reading import ReadingScreen
from screens.telling import evidence_lines, lock_lines, plain
from screens.widgets.table import RowTable
from tests.screens.fakes import (
    DISABLED,
    HOLDER,
    LOCKS,
    NOW,
    FakeService,
    StillClock,
    busy_service,
    console,
    failure,
    lock,
)
from tests.screens.pictures import play, press_all, settled

Console = Pilot[str | None]
STOPPED = lock(3, 61, Verdict.STOPPED, "process 4711 is suspended and holds its lock file", token=9)
STUCK = failure(Kind.DB_BUSY, "run 61 could not be cleared within 5 s: somebody is inside a write transaction")
ALIVE_NAME = "thornhill/4861"


def said(pilot: Console) -> list[str]:
    return [note.message for note in pilot.app._notifications]


def locks_screen(pilot: Console) -> LocksScreen:
    screen = pilot.app.screen
    assert isinstance(screen, LocksScreen), screen
    return screen


def message(pilot: Console) -> str:
    assert isinstance(pilot.app.screen, ConfirmScreen), pilot.app.screen
    return str(pilot.app.screen.query_one("#message", Static).render())


def shown(pilot: Console, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


async def look_again(pilot: Console) -> None:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, HomeScreen)
    screen._source.nudge()
    await settled(pilot)


def stopped(**facts: object) -> FakeService:
    return busy_service(locks=(STOPPED,), **facts)


# ---------------------------------------------------------------- looking


def test_a_lock_tells_its_holder_the_verdict_and_the_evidence_strongest_first() -> None:
    told = lock(
        1, 60, Verdict.UNKNOWN, "it runs on another machine (far); it has no connection to the database at the moment",
        token=12, expired=True, heartbeat_age_ms=95_000, run_kind="ingest", cancel_requested_at=NOW - 8_000,
    )  # fmt: skip
    text = plain(lock_lines(told, NOW))
    for part in (
        "ingest run 60, token 12",
        "pid 4711 on raceserver (thread ingest-4861)",
        "for 14 s",
        "fetch 12/34",
        "asked to stop 8 s ago",
        "? unknown\n1. it runs on another machine (far)\n2. it has no connection to the database at the moment\n",
        "Last heartbeat 1 min 35 s ago (expired; a lock is never taken for its age)",
        "Look on raceserver first",
    ):
        assert part in text


def test_a_connection_that_the_verdict_did_not_need_is_shown_as_the_weakest_evidence() -> None:
    told = lock(1, 60, Verdict.ALIVE, "process 4711 is running", session="session 99 from 10.0.0.7, idle")
    assert "2. its connection to the database: session 99 from 10.0.0.7, idle" in plain(evidence_lines(told))


def test_l_shows_the_locks_with_the_selected_events_lock_under_the_cursor() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "l"))
        assert locks_screen(pilot).selected == LOCKS[1]
        assert "canberraoffroad/486677" in shown(pilot, "#lock Static")
        assert "2 locks held · ▲ 1 expired" in shown(pilot, "#about")
        await press_all(pilot, ("k", "c"))
        assert pilot.app.clipboard.startswith("thornhill/4861")
        await press_all(pilot, ("escape",))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(busy_service()), steps)


def test_enter_in_the_locks_pane_opens_that_lock() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("3", "j", "enter"))
        assert locks_screen(pilot).selected == LOCKS[1]

    play(console(busy_service()), steps)


def test_the_locks_move_with_the_pipeline_and_say_when_they_are_old() -> None:
    service, clock = busy_service(), StillClock()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l",))
        assert "● live" in shown(pilot, "#about")
        service.locks = (msgspec.structs.replace(LOCKS[0], progress="fetch 20/34"),)
        await look_again(pilot)
        assert "fetch 20/34" in shown(pilot, "#lock Static")
        clock.now += 30
        locks_screen(pilot)._draw_about()
        assert "30 s old" in shown(pilot, "#about")
        service.locks = ()
        await look_again(pilot)
        assert shown(pilot, "#lock Static") == ""
        assert "0 locks held" in shown(pilot, "#about")

    play(console(service, clock), steps)


def test_names_from_outside_are_never_markup() -> None:
    nasty = lock(1, 60, Verdict.ALIVE, "[/] \x1b[2J", event_name="[red]x[/red] [/]", progress="[@click=app.quit]")
    service = busy_service(locks=(nasty,))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter"))
        pilot.app.screen.query_one("#field-name", Input).value = "[red]x[/red] [/]"
        await press_all(pilot, ("enter", "y"))

    play(console(service), steps)
    assert service.called == [("clear_lock", ALIVE_NAME, "why", 7, "[red]x[/red] [/]")]


# ---------------------------------------------------------------- asking to stop


def test_s_asks_the_holder_to_stop_and_says_when_it_did() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s"))
        assert said(pilot) == [
            "Asked run 60 of thornhill/4861 to stop.",
            "The lock is free: run 60 of thornhill/4861 is over.",
        ]
        assert [row.key for row in locks_screen(pilot).query_one(RowTable).rows] == ["2"]

    play(console(service), steps)
    assert service.called == [("cancel", ALIVE_NAME)]


def test_a_holder_that_does_not_stop_is_told_and_what_comes_next() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s"))
        assert said(pilot)[-1] == "Run 60 of thornhill/4861 has not stopped within 10 s. x takes its lock."

    play(console(busy_service(frees_itself=False)), steps)


def test_a_holder_is_asked_once_however_often_s_is_pressed() -> None:
    service, answer = busy_service(), threading.Event()

    def slowly(event: str) -> LockView:
        service.called.append(("cancel", event))
        answer.wait(20)
        return LOCKS[0]

    service.cancel = slowly  # type: ignore[method-assign]

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l",))
        await pilot.press("s", "s", "s")
        answer.set()
        await settled(pilot)
        assert said(pilot)[:2] == ["Run 60 was asked to stop already."] * 2

    play(console(service), steps)
    assert service.called == [("cancel", ALIVE_NAME)]


def test_a_refusal_to_ask_is_shown() -> None:
    service = busy_service(refusal=failure(Kind.USAGE, "the event is not locked: nobody is working on it"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s"))
        assert isinstance(pilot.app.screen, ReadingScreen)

    play(console(service), steps)


# ---------------------------------------------------------------- taking a lock


def test_x_takes_the_lock_with_a_reason_and_y_and_warns() -> None:
    service = stopped()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x"))
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "field-reason"
        await press_all(pilot, (*"why", "enter"))
        assert service.called == []
        assert pilot.app.focused.id == "cancel"
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, LocksScreen)
        (note,) = pilot.app._notifications
        assert (note.title, note.severity) == ("Took the lock of thornhill/4863", "warning")

    play(console(service), steps)
    assert service.called == [("clear_lock", "thornhill/4863", "why", 9, None)]


def test_enter_and_the_key_that_led_here_never_take_it_and_cancel_is_what_has_the_focus() -> None:
    service = stopped()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", "x", "x", "enter"))  # the doubled key is part of the reason
        await press_all(pilot, "x")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await press_all(pilot, ("enter",))
        assert isinstance(pilot.app.screen, LocksScreen)
        await press_all(pilot, ("x", *"why", "escape"))
        assert isinstance(pilot.app.screen, LocksScreen)

    play(console(service), steps)
    assert service.called == []


def test_nothing_is_taken_without_a_reason() -> None:
    service = stopped()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", "tab", "y"))
        assert message(pilot) == "✗ Nothing was typed here yet."
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "field-reason"

    play(console(service), steps)
    assert service.called == []


def test_the_lock_of_a_holder_that_is_alive_needs_the_events_name_as_well() -> None:
    service = busy_service(locks=(msgspec.structs.replace(LOCKS[0], event_name="Winter Series  Round 3"),))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter"))
        name = pilot.app.screen.query_one("#field-name", Input)
        assert pilot.app.focused is name
        await press_all(pilot, ("enter", "enter"))
        assert "Nothing was typed" in message(pilot)
        await press_all(pilot, ("W", "enter"))
        assert message(pilot) == "✗ This is not “Winter Series Round 3”."
        await press_all(pilot, ("tab", "y"))
        assert pilot.app.focused is name
        assert service.called == []
        name.value = "Winter Series Round 3"
        await press_all(pilot, ("enter", "y"))

    play(console(service), steps)
    assert service.called == [("clear_lock", ALIVE_NAME, "why", 7, "Winter Series Round 3")]


def test_a_lock_that_changed_hands_is_left_alone_and_that_is_said() -> None:
    gone = failure(Kind.LEASE_LOST, "the lock changed hands since you looked: its token is 10 now, not 9")
    service = stopped(refusal=gone)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter", "y"))
        assert isinstance(pilot.app.screen, LocksScreen)
        (note,) = pilot.app._notifications
        assert note.title == "Nothing was done"
        assert note.message == "The lock changed hands since you looked: its token is 10 now, not 9. Look again."

    play(console(service), steps)


def test_it_is_the_lock_that_was_seen_that_is_taken_even_if_the_table_moved_on() -> None:
    service = stopped()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter"))
        service.locks = (msgspec.structs.replace(STOPPED, token=10, run_id=62),)
        await look_again(pilot)
        await press_all(pilot, "y")

    play(console(service), steps)
    assert service.called == [("clear_lock", "thornhill/4863", "why", 9, None)]


def test_another_refusal_stays_in_the_dialog_with_what_was_typed() -> None:
    service = stopped(refusal=failure(Kind.DB_READONLY, "the database cannot be written"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter", "y"))
        assert message(pilot).startswith("✗ the database cannot be written\n")
        assert pilot.app.screen.query_one(Input).value == "why"
        service.refusal = None
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, LocksScreen)

    play(console(service), steps)
    assert len(service.called) == 2


def test_while_it_is_done_the_dialog_cannot_be_left_nor_pressed_again() -> None:
    service, answer = stopped(), threading.Event()

    def slowly(event: str, **said: object) -> LockView:
        service.called.append((event,))
        answer.wait(20)
        return STOPPED

    service.clear_lock = slowly  # type: ignore[method-assign]

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter"))
        await pilot.press("y", "y", "escape")
        assert "◐ Taking the lock" in message(pilot)
        assert all(button.disabled for button in pilot.app.screen.query(Button))
        answer.set()
        await settled(pilot)
        assert isinstance(pilot.app.screen, LocksScreen)

    play(console(service), steps)
    assert service.called == [("thornhill/4863",)]


# ---------------------------------------------------------------- ending the holder


def test_a_holder_inside_its_transaction_may_be_ended_by_force() -> None:
    service = stopped(refusal=STUCK)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter", "y"))
        assert "inside a write transaction" in shown(pilot, "#known Static")
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "cancel"  # the reason is there already
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, LocksScreen)
        assert said(pilot) == ["SIGTERM to process 4711; it ended. Its lock is taken."]

    play(console(service), steps)
    assert service.called == [
        ("clear_lock", "thornhill/4863", "why", 9, None),
        ("terminate_holder", "thornhill/4863", "why", 9, None),
    ]


def test_ending_an_alive_holder_needs_the_name_again_and_tells_who_ends_with_it() -> None:
    other = lock(5, 63, Verdict.ALIVE, "process 4711 is running", holder=HOLDER)
    service = busy_service(locks=(LOCKS[0], other), refusal=STUCK)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s"))  # asking is refused as well: somebody sits inside
        assert "The same process works on thornhill/4865." in shown(pilot, "#known Static")
        await press_all(pilot, (*"why", "enter"))
        pilot.app.screen.query_one("#field-name", Input).value = ALIVE_NAME
        await press_all(pilot, ("enter", "y"))
        assert isinstance(pilot.app.screen, LocksScreen)

    play(console(service), steps)
    assert service.called == [("cancel", ALIVE_NAME), ("terminate_holder", ALIVE_NAME, "why", 7, ALIVE_NAME)]


def test_ending_it_can_be_refused_too() -> None:
    service = stopped(refusal=STUCK)
    own = PipelineError(Kind.USAGE, "the holder, process 4711, is this program itself")

    def refuse(event: str, **said: object) -> object:
        raise own

    service.terminate_holder = refuse  # type: ignore[method-assign, assignment]

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "x", *"why", "enter", "y", "y"))
        assert "is this program itself" in message(pilot)
        await press_all(pilot, ("escape",))
        assert isinstance(pilot.app.screen, LocksScreen)

    play(console(service), steps)


# ---------------------------------------------------------------- refusals


def test_read_only_greys_the_keys_and_says_why() -> None:
    service = busy_service(read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s", "x"))
        assert not any(locks_screen(pilot).active_bindings[key].enabled for key in "sx")
        assert said(pilot) == [READ_ONLY]
        assert "READ-ONLY" in shown(pilot, "#about")

    play(console(service), steps)
    assert service.called == []


def test_where_nothing_is_locked_the_keys_say_so() -> None:
    service = busy_service(locks=())

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l", "s", "x", "c"))
        assert said(pilot) == ["Nobody holds a lock: nothing is being worked on."]  # once

    play(console(service), steps)
    assert service.called == []


def test_the_switch_never_stands_in_the_way_of_the_locks() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("l",))
        assert all(locks_screen(pilot).active_bindings[key].enabled for key in "sx")

    play(console(busy_service(switch=msgspec.structs.replace(DISABLED, mode="protected"))), steps)
