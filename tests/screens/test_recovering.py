"""Recovery by keys: plan, confirm, undo, actions, runs, checks, retry. Nothing happens that was not confirmed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from pipeline.errors import Kind
from pipeline.recovering import Recovered
from pipeline.store.control import ControlRow
from screens.actions import ActionsScreen, RunsScreen
from screens.checks import ChecksScreen
from screens.home import HomeScreen
from screens.locks import LocksScreen
from screens.planning import PlanningScreen
from screens.reading import ReadingScreen
from screens.retrying import RetryScreen
from screens.widgets.table import RowTable
from tests.screens.fake_recovery import (
    ACTIONS,
    EVENT,
    GUARD,
    HASH,
    NOTHING,
    RETRY,
    SLOW,
    action,
    check_report,
    plan,
)
from tests.screens.fakes import FakeService, busy_service, console, failure
from tests.screens.pictures import play, press_all, settled

Console = Pilot[str | None]
AT_FAILED = ("j", "j")  # onto the event that failed and still serves run 41
Shown = TypeVar("Shown")


def on_top(pilot: Console, kind: type[Shown]) -> Shown:
    screen = pilot.app.screen
    assert isinstance(screen, kind), screen
    return screen


def text_of(pilot: Console, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def the_plan(pilot: Console) -> str:
    return text_of(pilot, "#plan Static")


def rows(pilot: Console) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in pilot.app.screen.query_one(RowTable).rows]


def said(pilot: Console) -> list[str]:
    return [note.message for note in pilot.app._notifications]


def acts(service: FakeService) -> list[tuple[object, ...]]:
    return [call for call in service.called if call[0] in ("act", "retry")]


@contextmanager
def gated(service: FakeService) -> Iterator[threading.Event]:
    """What the service does next waits, until the test has looked."""
    service.gate = threading.Event()
    try:
        yield service.gate
    finally:
        service.gate.set()


async def until(pilot: Console, selector: str, text: str) -> None:
    """While something is on its way on purpose, `settled` would wait for it."""
    for _ in range(1_000):
        await pilot.pause(0.01)
        if text in text_of(pilot, selector):
            return
    raise AssertionError(f"{text!r} did not come: {text_of(pilot, selector)!r}")


# ---------------------------------------------------------------- where the keys lead


KEYS: tuple[tuple[str, type[object], tuple[object, ...]], ...] = (
    ("c", PlanningScreen, ("plan_cleanup", EVENT)),
    ("x", PlanningScreen, ("plan_reset", EVENT)),
    ("z", PlanningScreen, ("plan_undo", 12)),
    ("o", RunsScreen, ("runs", EVENT)),
    ("A", ActionsScreen, ("actions", EVENT)),
    ("v", ChecksScreen, ("checks", EVENT)),
    ("R", RetryScreen, ("plan_retry",)),
)


def test_each_key_leads_to_its_screen_and_escape_back() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_FAILED)
        for key, screen, call in KEYS:
            await press_all(pilot, (key,))
            on_top(pilot, screen)
            assert service.called[-1] == call
            await press_all(pilot, ("escape",))
            on_top(pilot, HomeScreen)

    play(console(service), steps)
    assert acts(service) == []


def test_without_an_event_the_keys_that_need_one_say_so_and_the_others_work() -> None:
    service = FakeService()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("escape", *"cxzo"))
        on_top(pilot, HomeScreen)
        assert set(said(pilot)) == {"There is no event under the cursor."}
        assert len(said(pilot)) == 1  # once, whichever key
        await press_all(pilot, ("v",))
        on_top(pilot, ChecksScreen)

    play(console(service), steps)
    assert service.called == [("checks", None)]


# ---------------------------------------------------------------- the plan and the answer


@pytest.mark.parametrize("trigger", ["c", "x", "z"])
def test_nothing_but_the_confirming_key_acts(trigger: str) -> None:
    """Cancel has the focus, and the key that led here, pressed again and again, does nothing."""
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_FAILED)
        for answer in (("escape",), ("enter",), ("shift+tab", *"yy", "enter", "enter")):
            await press_all(pilot, (*trigger * 3, "tab", "shift+tab"))
            screen = on_top(pilot, PlanningScreen)
            assert screen.focused is screen.query_one("#cancel")
            await press_all(pilot, answer)
            on_top(pilot, HomeScreen)

    play(console(service), steps)
    assert acts(service) == []


def test_the_plan_says_exactly_what_changes() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "c", "f"))
        shown = [" ".join(line.split()) for line in the_plan(pilot).splitlines()]
        assert shown == [
            "Full cleanup of thornhill/4863 Spring Cup",
            "",
            "state failed → idle",
            "serves run 41 → none",
            "depth laps_full → none",
            "last ingested 2025-11-14 15:10:00 UTC → none",
            "run 57 − removed 3 races, 27 results",
            "orphans − removed 2 laps",
            "run 41 ○ given up 17 races, 153 results, 5,128 laps",
            "for good ▲ 2 laps without a parent: no undo can bring these back",
            "what is served 17 races, 153 results, 5,128 laps → nothing",
            "steps failed → idle → running → failed → idle",
            "",
            "The rows of these runs are kept until a purge, so that they can return.",
        ]

    play(console(busy_service()), steps)


def test_cleanup_goes_from_partial_rows_to_everything_and_back() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "c"))
        assert the_plan(pilot).startswith("Cleanup of thornhill/4863")
        await press_all(pilot, "f")
        assert the_plan(pilot).startswith("Full cleanup of thornhill/4863")
        await press_all(pilot, "fp")
        assert the_plan(pilot).startswith("Cleanup of thornhill/4863")
        await press_all(pilot, "y")

    play(console(service), steps)
    kinds = ["plan_cleanup", "plan_cleanup_full", "plan_cleanup", "plan_cleanup"]
    assert [call[0] for call in service.called] == [*kinds, "act"]
    assert acts(service) == [("act", "cleanup", "")]


def test_what_was_confirmed_is_done_and_told_and_may_carry_a_reason() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_FAILED)
        for key in "cxz":
            await press_all(pilot, (key, "w", *"why y", "enter", "y"))
            assert "● Done: " in the_plan(pilot)
            assert "● The checks passed: 26 checks in 1.8 s (run 7)" in the_plan(pilot)
            assert isinstance(pilot.app.focused, Button)
            await press_all(pilot, ("y", "enter"))  # once is enough
            on_top(pilot, HomeScreen)

    play(console(service), steps)
    assert acts(service) == [("act", kind, "why y") for kind in ("cleanup", "reset", "undo")]


def test_a_plan_that_changes_nothing_cannot_be_confirmed() -> None:
    service = busy_service()
    service.plans["cleanup"] = NOTHING

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "c", "y"))
        assert f"There is nothing to do: {EVENT} is as this would leave it." in the_plan(pilot)
        assert said(pilot) == ["There is nothing to do."]
        assert "f plans the full cleanup" in text_of(pilot, "#message")

    play(console(service), steps)
    assert acts(service) == []


def test_a_plan_out_of_date_is_made_and_shown_again_and_asked_about_again() -> None:
    service = busy_service(stale=1)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x", "y"))
        assert "changed since the reset was planned. Nothing was changed" in text_of(pilot, "#message")
        assert the_plan(pilot).startswith("Reset of")
        assert service.called == [("plan_reset", EVENT), ("act", "reset", ""), ("plan_reset", EVENT)]
        await press_all(pilot, ("y",))
        assert "● Done" in the_plan(pilot)

    play(console(service), steps)


def test_while_it_is_carried_out_it_says_how_far_it_is_and_cannot_be_left() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x"))
        with gated(service):
            await pilot.press("y")
            await until(pilot, "#message", "● Done. ◐ Checking the event …")
            await pilot.press("escape", "y", "y")
            await pilot.pause()
            on_top(pilot, PlanningScreen)
        await settled(pilot)
        assert "● Done" in the_plan(pilot)

    play(console(service), steps)
    assert acts(service) == [("act", "reset", "")]


def test_what_the_checks_found_afterwards_is_told() -> None:
    service = busy_service(acts=Recovered(action(12, plan(), 0), check_report(HASH, SLOW)))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x", "y"))
        shown = the_plan(pilot)
        assert f"✗ The checks failed: 1 error, 1 warning; held: {EVENT}." in shown
        assert "✗ document-hash: run 41: its rows give another document" in shown
        assert "▲ durations: run 57 took 95.0 s" in shown

    play(console(service), steps)


def test_an_event_that_could_not_be_checked_is_told_too() -> None:
    service = busy_service(acts=Recovered(action(12, plan(), 0), None, "the database is locked"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x", "y"))
        assert "▲ Nobody could check the event: the database is locked" in the_plan(pilot)

    play(console(service), steps)


def test_undo_is_offered_after_it_and_goes_through_a_plan_of_its_own() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "c", "y", *"zzz"))
        assert the_plan(pilot).startswith("Undo of action 12 of thornhill/4863")
        assert acts(service) == [("act", "cleanup", "")]
        await press_all(pilot, "y")
        assert "No undo: it is an undo itself" in text_of(pilot, "#message")
        await press_all(pilot, ("z", "escape"))
        on_top(pilot, HomeScreen)

    play(console(service), steps)
    assert acts(service) == [("act", "cleanup", ""), ("act", "undo", "")]


# ---------------------------------------------------------------- refusals

LOCKED = failure(Kind.LOCK_HELD, "run 60 is working on thornhill/4863", event=EVENT, run_id=60)
REFUSALS = (
    LOCKED,
    failure(Kind.UNDO_REFUSED, "action 12 cannot be undone: thornhill/4863 changed since: run 72"),
    failure(Kind.UNKNOWN_EVENT, "there is no event with the number 3"),
    failure(Kind.USAGE, "run 33 cannot be served: its rows were purged", remedy="Choose another run."),
    failure(Kind.DB_BUSY, "the database is locked by another process"),
    failure(Kind.READ_ONLY, "This program was started read-only: act is refused"),
    failure(Kind.INTERNAL, "ZeroDivisionError: of all things"),
)


@pytest.mark.parametrize("when", ["planning", "acting"])
def test_a_refusal_is_told_with_its_reason_and_what_to_do(when: str) -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_FAILED)
        for refusal in REFUSALS if when == "planning" else REFUSALS[:2]:
            service.plans["reset"], service.acts = (refusal, None) if when == "planning" else (plan("reset"), refusal)
            await press_all(pilot, "xy")
            told = the_plan(pilot)
            assert refusal.message in told
            assert str(refusal.envelope().details["remedy"]) in told
            assert f"kind {refusal.kind}" in told
            assert "Nothing was changed." in told
            before = len(service.called)
            await press_all(pilot, "yz")
            assert len(service.called) == before
            service.plans["reset"], service.acts = plan("reset"), None
            await press_all(pilot, "py")
            assert "● Done" in the_plan(pilot)
            await press_all(pilot, ("escape",))

    play(console(service), steps)


def test_a_lock_in_the_way_leads_to_the_locks_and_back_to_a_new_plan() -> None:
    service = busy_service()
    service.plans["cleanup"] = LOCKED

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "c"))
        assert "l shows who holds it" in text_of(pilot, "#message")
        await press_all(pilot, "l")
        on_top(pilot, LocksScreen)
        service.plans["cleanup"] = plan("cleanup")
        await press_all(pilot, ("escape",))
        assert the_plan(pilot).startswith("Cleanup of")

    play(console(service), steps)


def test_read_only_plans_may_be_looked_at_and_not_carried_out() -> None:
    service = busy_service(read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_FAILED)
        for key in "cxz":
            await press_all(pilot, (key,))
            assert "started read-only" in text_of(pilot, "#message")
            screen = on_top(pilot, PlanningScreen)
            assert screen.query_one("#confirm", Button).disabled
            await press_all(pilot, ("y", "w"))
            assert "started read-only" in said(pilot)[-1]
            assert screen.focused is screen.query_one("#cancel")
            await press_all(pilot, ("escape",))

    play(console(service), steps)
    assert acts(service) == []


def test_a_protected_database_still_lets_recovery_act() -> None:
    service = busy_service(switch=ControlRow("protected", "migration", "ann", 1))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x", "y"))

    play(console(service), steps)
    assert acts(service) == [("act", "reset", "")]


def test_a_plan_can_be_copied_and_scrolled_by_vim_keys() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "x", "c"))
        assert "held because" in pilot.app.clipboard
        box = pilot.app.screen.query_one("#plan")
        await press_all(pilot, "j")
        assert box.scroll_y == 1
        await press_all(pilot, "G")
        assert box.scroll_y == box.max_scroll_y > 1
        await press_all(pilot, "gjk")
        assert box.scroll_y == 0

    play(console(busy_service()), steps, size=(50, 16))


# ---------------------------------------------------------------- undo, actions, runs


def test_without_an_undoable_action_z_opens_the_list_that_says_why() -> None:
    service = busy_service(taken=ACTIONS[1:])

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "z"))
        on_top(pilot, ActionsScreen)
        assert "cannot be undone: thornhill/4863 changed since" in text_of(pilot, "#detail")
        await press_all(pilot, "z")
        assert "changed since" in said(pilot)[-1]
        on_top(pilot, ActionsScreen)

    play(console(service), steps)
    assert acts(service) == []


def test_actions_of_one_event_or_of_all_and_what_each_did() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "A"))
        assert [row[0] for row in rows(pilot)] == ["12", "11"]
        await press_all(pilot, "a")
        assert [row[-1] for row in rows(pilot)] == ["● possible", "– no", "○ undone by 11"]
        await press_all(pilot, ("enter",))
        on_top(pilot, ReadingScreen)
        shown = text_of(pilot, "#reading Static")
        assert "Reason: the site showed half of the races" in shown
        assert "run 41           ○ given up" in shown
        await press_all(pilot, ("escape", "z"))
        assert the_plan(pilot).startswith("Undo of action 12")
        service.taken = ACTIONS[1:]
        await press_all(pilot, ("y", "escape"))
        assert [row[0] for row in rows(pilot)] == ["11", "10"]  # read again

    play(console(service), steps)
    assert acts(service) == [("act", "undo", "")]


def test_an_older_run_is_served_again_and_no_other_can_be() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "o"))
        assert [row[-1] for row in rows(pilot)] == [
            "– no: it published nothing (ingest, failed)",
            "– no: it published nothing (cleanup, cleaned)",
            "● served now",
            "○ yes: enter plans it",
            "– no: its rows were purged",
        ]
        await press_all(pilot, ("k", "enter"))
        assert said(pilot) == ["Run 41 cannot be served: it is what is served."]
        await press_all(pilot, ("j", "enter"))
        assert the_plan(pilot).startswith("Restore of run 33 for thornhill/4863")
        await press_all(pilot, "y")

    play(console(service), steps)
    assert ("plan_restore", EVENT, 33) in service.called
    assert acts(service) == [("act", "restore", "")]


# ---------------------------------------------------------------- checks


def test_checks_say_how_far_they_are_and_then_what_each_found() -> None:
    service = busy_service(checked=check_report(HASH, SLOW))

    async def steps(pilot: Console) -> None:
        await settled(pilot)
        with gated(service):
            await pilot.press(*AT_FAILED, "v")
            await until(pilot, "#about", "12 of 40")
        await settled(pilot)
        assert "✗ The checks failed: 1 error, 1 warning; held: thornhill/4863." in text_of(pilot, "#about")
        shown = rows(pilot)
        assert [row[:2] for row in shown[:3]] == [
            ["✗ error", "document-hash"],
            ["▲ warn", "durations"],
            ["● quiet", "database-file"],
        ]
        assert len(shown) == 26
        assert pilot.app.screen.is_running  # what is drawn later still is
        assert "o serves an older run; x gives up what is served" in text_of(pilot, "#about")
        assert '{"published":"d0c5ea1","found":"bad5eed"}' in text_of(pilot, "#detail")
        await press_all(pilot, "cva")
        assert "✗ document-hash: run 41" in pilot.app.clipboard

    play(console(service), steps)
    assert service.called == [("checks", EVENT), ("checks", EVENT), ("checks", None)]


def test_a_finding_leads_to_its_event_even_where_a_filter_hides_it() -> None:
    service = busy_service(checked=check_report(GUARD, HASH, event=None))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("slash", *"nitro", "enter", "v", "a", "enter"))
        assert said(pilot) == ["This finding is about no single event."]
        await press_all(pilot, ("j", "enter"))
        home = on_top(pilot, HomeScreen)
        assert home.selected is not None
        assert home.selected.event == EVENT
        assert home.query_one("#filter", Input).value == EVENT
        await press_all(pilot, ("escape", "G", "v", "j", "enter"))
        assert home.selected.event == EVENT

    play(console(service), steps)


def test_checks_that_cannot_be_made_say_why_and_can_be_tried_again() -> None:
    service = busy_service(checked=REFUSALS[4])

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_FAILED, "v"))
        on_top(pilot, ReadingScreen)
        await press_all(pilot, ("escape",))
        assert "could not be made" in text_of(pilot, "#about")
        service.checked = None
        await press_all(pilot, "v")
        assert "● The checks passed" in text_of(pilot, "#about")

    play(console(service), steps)


# ---------------------------------------------------------------- retry


def test_a_retry_is_planned_in_its_order_and_begins_with_y_only() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "RRRR")
        screen = on_top(pilot, RetryScreen)
        assert screen.focused is screen.query_one("#cancel")
        assert "Ingest 13 failed events again: 1, then 10, then 2." in text_of(pilot, "#about")
        assert [row[0] for row in rows(pilot)] == ["first", *["next 10"] * 10, "rest", "rest", "–"]
        assert rows(pilot)[-1][2] == "‖ held, retried only by name: its runs died three times without a verdict"
        await press_all(pilot, ("enter",))
        on_top(pilot, HomeScreen)
        assert acts(service) == []
        await press_all(pilot, "Ry")
        assert "● Ended: 13 of 13 tried" in text_of(pilot, "#about")
        assert rows(pilot)[0][2] == "● published by run 101: 17 races, 5,128 laps"

    play(console(service), steps)
    assert acts(service) == [("retry",)]


def test_a_retry_goes_on_while_one_looks_elsewhere_and_stops_when_told_to() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "R")
        with gated(service):
            await pilot.press("y")
            await until(pilot, "#about", "1 of 13 tried")
            await pilot.press("escape")
            await pilot.pause()
            on_top(pilot, HomeScreen)
            await pilot.press("R")
            await until(pilot, "#about", "1 of 13 tried")
            await pilot.press("s", "s")
            await until(pilot, "#about", "stopping after the event under way")
        await settled(pilot)
        assert "▲ Stopped: 2 of 13 tried" in text_of(pilot, "#about")
        assert "you stopped it" in text_of(pilot, "#about")
        assert rows(pilot)[2][2] == "– not tried"

    play(console(service), steps)
    assert acts(service) == [("retry",)]


def test_whoever_looks_elsewhere_hears_how_a_retry_ended() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "R")
        with gated(service):
            await pilot.press("y")
            await until(pilot, "#about", "1 of 13 tried")
            await pilot.press("escape")
        await settled(pilot)
        assert said(pilot) == ["● Ended: 13 of 13 tried"]

    play(console(service), steps)


def test_too_many_failures_stop_a_retry_and_each_says_why() -> None:
    broken = failure(Kind.NO_RACES, "event 4863 has no races on its page")
    service = busy_service(outcomes={RETRY.stages[0][0]: broken, RETRY.stages[1][0]: LOCKED})

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "Ry")
        assert "2 of 2 failed, which is more than 50%" in text_of(pilot, "#about")
        assert [row[2] for row in rows(pilot)][:3] == [
            "✗ NO_RACES: event 4863 has no races on its page",
            "‖ passed over: somebody works on it",
            "– not tried",
        ]
        await press_all(pilot, ("enter",))
        assert "kind NO_RACES" in text_of(pilot, "#reading Static")

    play(console(service), steps)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"read_only": True}, "This console was started read-only"),
        ({"switch": ControlRow("disabled", "new layout", "ann", 1)}, "Ingestion is disabled. ann said: new layout"),
        ({"switch": ControlRow("protected", "moving", "ann", 1)}, "only recovery may write. ann said: moving"),
        ({"retry_plan": type(RETRY)((), (), 0.5)}, "There is nothing to retry"),
    ],
)
def test_a_retry_that_may_not_begin_says_why(facts: dict[str, object], reason: str) -> None:
    service = busy_service(**facts)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "Ry")
        assert reason in text_of(pilot, "#about")
        assert reason in said(pilot)[-1]

    play(console(service), steps)
    assert acts(service) == []


def test_a_retry_that_the_service_refuses_is_told() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "R")
        service.refusal = failure(Kind.DISABLED, "Ingestion is disabled; ann said: new layout")
        await press_all(pilot, "y")
        assert "▲ Stopped: 0 of 13 tried" in text_of(pilot, "#about")
        assert "ann said: new layout" in text_of(pilot, "#about")

    play(console(service), steps)


def test_the_contact_is_asked_for_before_a_retry() -> None:
    service = busy_service(contact=None)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("R", "y", "escape"))
        assert acts(service) == []
        assert isinstance(pilot.app.screen, RetryScreen)

    play(console(service), steps)
