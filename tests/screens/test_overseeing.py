"""Health, schedule, failures by cause, warnings and timelines by keys: what each does, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

from mre_console.app import ConsoleApp
from mre_console.backend import ConsoleBackend
from pipeline.errors import Kind
from pipeline.health import Evidence, judge
from pipeline.service import Service, ServiceSettings
from screens.acknowledging import WarningsScreen
from screens.allowing import READ_ONLY
from screens.asking import AskScreen
from screens.causes import CauseScreen, CausesScreen
from screens.confirming import ConfirmScreen
from screens.failure import FailureScreen
from screens.health import HealthScreen, health_lines
from screens.home import HomeScreen
from screens.locks import LocksScreen
from screens.picture import Picture
from screens.reading import ReadingScreen
from screens.retrying import RetryScreen
from screens.schedule import ScheduleScreen
from screens.summary import judgement
from screens.telling import plain
from screens.timeline import TimelineScreen, spent
from screens.widgets.header import Facts, Header, header_line
from screens.widgets.table import RowTable
from screens.words import ahead
from tests.screens.fake_watch import CAUSES, ILL, LATE, SCHEDULES, WORKERS, spans
from tests.screens.fakes import DISABLED, NOW, WARNINGS, FakeService, busy_service, console, failure
from tests.screens.pictures import play, play_to_the_end, press_all, settled

Console = Pilot[str | None]
PROTECTED = msgspec.structs.replace(DISABLED, mode="protected")
TWO = (msgspec.structs.replace(WARNINGS[0], id=9, message="drift is suspected"), *WARNINGS)


def said(pilot: Console) -> list[str]:
    return [note.message for note in pilot.app._notifications]


def shown(pilot: Console, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def on_top(pilot: Console) -> type[Screen[Any]]:
    return type(pilot.app.screen)


def header(pilot: Console) -> str:
    facts = pilot.app.screen_stack[0].query_one(Header).facts
    return "".join(phrase.text for phrase in header_line(facts, 160))


def asked(service: FakeService, *names: str) -> list[tuple[Any, ...]]:
    return [call for call in service.called if call[0] in names]


# ---------------------------------------------------------------- how everything is


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(health="healthy", age_s=0.0), "● healthy"),
        (Facts(health="degraded", age_s=0.0), "▲ degraded"),
        (Facts(health="failing", age_s=0.0, trouble=True), "✗ failing"),
        (Facts(health="disabled", age_s=0.0, badge="PROTECTED"), "■ disabled"),
        (Facts(health="healthy", age_s=40.0), "? was healthy"),
    ],
)
def test_the_first_line_says_how_everything_is(facts: Facts, words: str) -> None:
    for width in (80, 120, 200):
        assert words in "".join(phrase.text for phrase in header_line(facts, width))


def test_disabled_is_said_once() -> None:
    line = "".join(phrase.text for phrase in header_line(Facts(health="disabled", badge="DISABLED", age_s=0.0), 120))
    assert line.lower().count("disabled") == 1


def test_a_narrow_line_keeps_the_failures() -> None:
    facts = Facts(
        site="http://127.0.0.1:18199", events=18, failed=4, health="degraded", schedule="running", warnings=2, age_s=0.0
    )
    line = "".join(phrase.text for phrase in header_line(facts, 80))
    assert all(part in line for part in ("4 failed", "▲ degraded", "◐ schedule", "▲ 2 warnings (w)", "● live"))


def test_a_database_that_is_silent_is_judged_as_the_service_judges_it() -> None:
    told = failure(Kind.DB_BUSY, "the database is locked").envelope()
    judged = judgement(Picture(trouble=told))
    assert judged == judge(Evidence(database_error="the database is locked"))
    assert judgement(Picture()) is None


def test_the_health_screen_says_why_and_how_old_the_evidence_is() -> None:
    service = busy_service(evidence=ILL, workers=WORKERS, schedule=LATE)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "H")
        told = shown(pilot, "#health Static")
        health = judge(ILL)
        assert health.state in told.splitlines()[0]
        for reason in health.reasons:
            assert reason.text.lower() in told.lower()
        for fact in ("2 of the newest 6 failed (33%)", "12 min ago", "last tick 1 min ago, late after 15 s"):
            assert fact in told
        await press_all(pilot, ("c", "escape"))
        assert on_top(pilot) is HomeScreen
        assert "event" in pilot.app.clipboard

    play(console(service), steps)


def test_nothing_is_said_of_evidence_that_a_silent_database_keeps() -> None:
    text = plain(health_lines(judge(Evidence(database_error="no connection")), None))
    assert "no connection" in text
    assert "Ingestions" not in text


@pytest.mark.parametrize(
    ("key", "screen"),
    [("w", WarningsScreen), ("F", CausesScreen), ("s", ScheduleScreen), ("l", LocksScreen), ("d", ConfirmScreen)],
)
def test_a_reason_leads_on(key: str, screen: type[Screen[Any]]) -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("H", key))
        assert on_top(pilot) is screen

    play(console(busy_service()), steps)


def test_where_it_leads_may_be_refused() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("H", "d"))
        assert on_top(pilot) is HomeScreen
        assert said(pilot) == [READ_ONLY]

    play(console(busy_service(read_only=True)), steps)


# ---------------------------------------------------------------- warnings


def test_a_pressed_twice_does_not_take_the_next_warning_along() -> None:
    service = busy_service(warnings=TWO)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("w", "a", "a"))
        assert "This warning was seen already." in said(pilot)
        assert [row.cells[0].text for row in pilot.app.screen.query_one(RowTable).rows] == ["✓ seen", "▲ open"]
        assert "1 open warning" in shown(pilot, "#about")
        await press_all(pilot, ("j", "a", "escape", "w"))
        assert pilot.app.screen.query_one(RowTable).rows == ()

    play(console(service), steps)
    assert asked(service, "acknowledge") == [("acknowledge", (9,)), ("acknowledge", (3,))]


def test_all_are_asked_about_first() -> None:
    service = busy_service(warnings=TWO)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("w", "A", "A", "enter"))
        assert on_top(pilot) is WarningsScreen  # Cancel has the focus
        await press_all(pilot, ("A", "y"))
        assert said(pilot) == ["2 warnings acknowledged."]
        await press_all(pilot, "A")
        assert said(pilot)[-1] == "There are no open warnings."

    play(console(service), steps)
    assert asked(service, "acknowledge") == [("acknowledge", (3, 9))]


def test_a_warning_that_cannot_be_acknowledged_says_why() -> None:
    service = busy_service(warnings=TWO, refusal=failure(Kind.DB_BUSY, "the database is locked"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("w", "a"))
        assert on_top(pilot) is ReadingScreen
        await press_all(pilot, ("escape", "c"))
        assert len(service.warnings) == 2
        assert "drift is suspected" in pilot.app.clipboard

    play(console(service), steps)


@pytest.mark.parametrize("key", ["a", "A"])
def test_read_only_acknowledges_nothing(key: str) -> None:
    service = busy_service(warnings=TWO, read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("w", key))
        assert said(pilot) == [READ_ONLY]

    play(console(service), steps)
    assert asked(service, "acknowledge") == []


# ---------------------------------------------------------------- the schedule


def test_moments_ahead_in_words() -> None:
    minute = 60_000
    assert [ahead(NOW + ms, NOW) for ms in (0, 12_000, 4 * minute, 192 * minute, 53 * 60 * minute)] == [
        "now", "in 12 s", "in 4 min", "in 3 h 12 min", "in 2 d 5 h",
    ]  # fmt: skip


def test_p_pauses_and_resumes_and_n_asks_once() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "p"))
        assert "‖ paused" in pilot.app.screen.query_one("#jobs", RowTable).rows[0].cells[2].text
        await press_all(pilot, ("p", "n", "n"))
        assert said(pilot) == [
            "catalogue is paused.",
            "catalogue is due again: daily at 03:20 UTC.",
            "catalogue is wanted now. Nobody runs the schedule now: h runs it here.",
            "catalogue was asked for already.",
        ]

    play(console(service), steps)
    changed = [("pause_schedule", "catalogue"), ("resume_schedule", "catalogue"), ("run_schedule_now", "catalogue")]
    assert asked(service, "pause_schedule", "resume_schedule", "run_schedule_now") == changed


def test_what_deletes_is_asked_about_before_it_runs_now() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "j", "j", "j", "n", "n", "enter"))
        assert on_top(pilot) is ScheduleScreen
        assert asked(service, "run_schedule_now") == []
        await press_all(pilot, ("n", "y"))

    play(console(service), steps)
    assert asked(service, "run_schedule_now") == [("run_schedule_now", "purge")]


def test_e_saves_what_was_changed_and_nothing_else() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "G", "k", "e"))
        fields = list(pilot.app.screen.query(Input))
        assert [field.value for field in fields] == ["every 1h", "7", "20", "5"]
        assert pilot.app.focused is fields[0]
        fields[2].value = "50"
        await press_all(pilot, ("enter", "y"))
        assert on_top(pilot) is ScheduleScreen

    play(console(service), steps)
    assert asked(service, "edit_schedule") == [("edit_schedule", "recent", None, {"per_run": "50"})]


def test_a_time_that_is_not_accepted_stays_where_it_was_typed() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "e"))
        pilot.app.screen.query_one(Input).value = "sometimes"
        await press_all(pilot, ("enter", "y"))
        assert "the time 'sometimes' is not accepted" in shown(pilot, "#message")
        assert "Say `every 6h`." in shown(pilot, "#message")
        await press_all(pilot, ("escape",))
        assert on_top(pilot) is ScheduleScreen

    play(console(service), steps)
    assert service.lines == SCHEDULES


def test_h_runs_the_schedule_here_under_a_badge_and_ends_it() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        assert "schedule" not in header(pilot)
        await press_all(pilot, "s")
        assert "does not run the schedule" in shown(pilot, "#about")
        assert "Nobody runs the schedule" in shown(pilot, "#about")
        await press_all(pilot, "h")
        assert "This console runs the schedule" in shown(pilot, "#about")
        assert "◐ schedule" in header(pilot)
        await press_all(pilot, "h")
        assert "does not run the schedule" in shown(pilot, "#about")
        assert "schedule" not in header(pilot)

    play(console(service), steps)
    assert asked(service, "start_schedule", "stop_schedule") == [("start_schedule",), ("stop_schedule",)]


def test_what_is_under_way_ends_before_it_can_be_run_here_again() -> None:
    service = busy_service(ends_at_once=False)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "h", "h"))
        assert "ends what it has begun" in shown(pilot, "#about")
        assert "◐ schedule stops" in header(pilot)
        await press_all(pilot, "h")
        assert said(pilot)[-1].startswith("This console still ends what it has begun.")

    play(console(service), steps)
    assert len(asked(service, "start_schedule")) == 1


def test_nothing_is_fetched_by_the_schedule_before_somebody_said_who_does() -> None:
    service = busy_service(contact=None)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "h"))
        assert on_top(pilot) is AskScreen
        await press_all(pilot, ("escape",))
        assert on_top(pilot) is ScheduleScreen

    play(console(service), steps)
    assert asked(service, "start_schedule") == []


@pytest.mark.parametrize("key", ["p", "n", "e", "h"])
def test_read_only_changes_nothing_of_the_schedule(key: str) -> None:
    service = busy_service(read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", key))
        assert said(pilot) == [READ_ONLY]
        assert "READ-ONLY" in shown(pilot, "#about")

    play(console(service), steps)
    assert {call[0] for call in service.called} <= {"schedules"}


def test_a_protected_database_keeps_its_schedule_as_it_is_and_may_be_ticked() -> None:
    service = busy_service(switch=PROTECTED)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "p"))
        assert "protected" in said(pilot)[0]
        await press_all(pilot, ("h",))

    play(console(service), steps)
    assert asked(service, "pause_schedule", "start_schedule") == [("start_schedule",)]


def test_enter_shows_a_jobs_runs_and_what_they_said() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("s", "j", "j", "enter"))
        assert on_top(pilot) is ReadingScreen
        told = shown(pilot, "Static")
        assert "✗ failed" in told
        assert "liverc.com does not answer" in told
        await press_all(pilot, ("escape", "escape"))
        assert on_top(pilot) is HomeScreen

    play(console(busy_service()), steps)


def test_a_schedule_that_cannot_be_read_says_so_and_a_failed_change_too() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "s")
        service.refusal = failure(Kind.DB_BUSY, "the database is locked")
        await press_all(pilot, ("p",))
        assert on_top(pilot) is ReadingScreen
        await press_all(pilot, ("escape",))
        assert "The schedule could not be read: the database is locked" in shown(pilot, "#about")
        assert len(pilot.app.screen.query_one("#jobs", RowTable).rows) == len(SCHEDULES)  # what was read last

    play(console(service), steps)


def test_workers_of_every_machine_are_shown() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, "s")
        rows = pilot.app.screen.query_one("#workers", RowTable).rows
        told = [(row.cells[0].text, row.cells[1].text, row.cells[2].text, row.cells[-1].text) for row in rows]
        assert told == [
            ("● running", "worker 4711", "raceserver", "job retries"),
            ("✗ silent", "worker 212", "pits", "last seen 7 min ago"),
            ("○ ended", "console 3977", "raceserver", "last seen 1 h ago"),
        ]
        assert "the schedule's last tick is 95 s old" in shown(pilot, "#about")

    play(console(busy_service(workers=WORKERS, schedule=LATE)), steps)


def test_quitting_signs_the_schedule_off(tmp_path: Path) -> None:
    """The real thing: this console runs the schedule, is closed, and every other process sees that it ended."""
    settings = ServiceSettings(db_url=str(tmp_path / "mre.sqlite3"), data=tmp_path, site="http://127.0.0.1:1")
    with Service(settings) as service:
        service.add_event("track/1")
        backend = ConsoleBackend(service)
        known = backend.event_line("track/1")
        assert known is not None
        assert (known.event, backend.event_line("track/11")) == ("track/1", None)

        async def steps(pilot: Console) -> None:
            await press_all(pilot, ("s", "h"))
            assert backend.schedule_here() == "running"
            assert service.snapshot().workers[0].state == "running"
            pilot.app.simulate_key("q")  # leaves the schedule
            await settled(pilot)
            await pilot.app.run_action("quit")

        assert play_to_the_end(ConsoleApp(backend), steps) is None
        assert service.stop_schedule(timeout_s=5.0)
        assert backend.schedule_here() == ""
        (worker,) = service.workers()
        assert (worker.kind, worker.state) == ("console", "stopped")


# ---------------------------------------------------------------- failures by cause


def test_causes_come_with_counts_and_what_to_do() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, "F")
        first, second = pilot.app.screen.query_one(RowTable).rows
        told = [cell.text for cell in first.cells]
        assert told == ["✗ 2", "FIELD_MISSING", "parse", "race result · fast lap", "14", "3", "1 d ago", "4 min ago"]
        assert second.cells[0].text == "–"
        assert "has no column “Fastest Lap”" in shown(pilot, "#detail")
        assert "2 causes in 30 days · 2 events still failed" in shown(pilot, "#about")

    play(console(busy_service()), steps)


def test_r_plans_to_retry_what_still_fails_of_the_cause_and_y_does_it() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "r"))
        assert on_top(pilot) is RetryScreen
        assert asked(service, "retry") == []
        await press_all(pilot, ("y", "escape", "escape"))
        assert on_top(pilot) is HomeScreen

    play(console(service), steps)
    assert asked(service, "plan_retry", "retry") == [("plan_retry", CAUSES[0].open_events), ("retry",)]


def test_a_cause_that_nothing_fails_of_any_more_has_nothing_to_retry() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "j", "r", "e"))
        assert on_top(pilot) is CausesScreen

    play(console(service), steps)
    assert asked(service, "plan_retry", "event_line") == []


def test_e_says_why_and_leads_to_the_timeline_and_a_retry() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "e"))
        assert on_top(pilot) is FailureScreen
        await press_all(pilot, ("t",))
        assert on_top(pilot) is TimelineScreen
        await press_all(pilot, ("escape", "r"))

    play(console(service), steps)
    assert asked(service, "event_line", "start_ingest") == [
        ("event_line", "thornhill/4863"),
        ("start_ingest", "thornhill/4863"),
    ]


def test_enter_leads_to_the_events_of_a_cause_and_on_to_one_in_the_list() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "enter"))
        assert on_top(pilot) is CauseScreen
        rows = pilot.app.screen.query_one(RowTable).rows
        assert [row.cells[0].text for row in rows] == ["✗ failed by this", "✗ failed by this", "– not any more"]
        await press_all(pilot, ("j", "enter"))
        assert on_top(pilot) is HomeScreen
        assert pilot.app.screen.query_one("#events", RowTable).key == "4"

    play(console(busy_service()), steps)


def test_an_event_of_a_cause_is_retried_by_name_once() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "enter", "r", "r", "e"))
        assert on_top(pilot) is FailureScreen
        assert said(pilot)[0] == "thornhill/4863 is ingested again."
        await press_all(pilot, ("escape", "R"))
        assert on_top(pilot) is RetryScreen

    play(console(service), steps)
    assert asked(service, "start_ingest") == [("start_ingest", "thornhill/4863")]


def test_an_event_that_is_gone_and_one_that_may_not_be_ingested_say_so() -> None:
    service = busy_service(switch=DISABLED)
    service.causes = (msgspec.structs.replace(CAUSES[0], open_events=("gone/1",), events=("gone/1",)),)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("F", "enter", "enter", "r"))
        assert on_top(pilot) is CauseScreen
        assert said(pilot)[0] == "gone/1: It is not known any more."
        assert "Ingestion is disabled" in said(pilot)[1]

    play(console(service), steps)
    assert asked(service, "start_ingest") == []


def test_causes_are_read_again_when_an_event_does_not_fail_any_more() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "F")
        mended = replace(service, events=service.events[:3])
        service.events, service.causes = mended.events, CAUSES[1:]
        pilot.app._source.nudge()  # type: ignore[attr-defined]
        await settled(pilot)
        assert len(pilot.app.screen.query_one(RowTable).rows) == 1

    play(console(service), steps)


# ---------------------------------------------------------------- timelines


def test_the_sums_of_a_run_fill_it() -> None:
    sums = spent(spans(6, fails=False))
    assert sums.turns == pytest.approx(3 + 6 * 570, abs=0.01)
    assert sums.reading == pytest.approx(3 + 6 * 2.4, abs=0.01)
    assert sums.normalising == pytest.approx(41, abs=0.01)
    assert sums.writing == pytest.approx(88, abs=0.01)
    parts = sums.turns + sums.requests + sums.reading + sums.normalising + sums.writing
    assert parts <= sums.whole


def test_t_on_a_run_shows_where_its_time_went_and_where_it_failed() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "o", "t"))
        table = pilot.app.screen.query_one(RowTable)
        assert table.rows[table.cursor].cells[0].text == "  ✗ read race 6304826"
        assert "✗ failed (FIELD_MISSING) after 6.7 s" in shown(pilot, "#about")
        await press_all(pilot, ("s",))
        assert [row.cells[0].text.strip() for row in table.rows[:2]] == ["✗ the whole run", "fetch race 6304826"]
        await press_all(pilot, ("j", "enter"))
        assert "6304826" in shown(pilot, "Static")
        await press_all(pilot, ("escape", "s"))
        assert table.rows[1].cells[0].text.strip() == "fetch the event page"

    play(console(service), steps)
    assert asked(service, "timeline") == [("timeline", 33)]


def test_bars_fill_the_width_that_there_is() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "e", "t"))
        table = pilot.app.screen.query_one(RowTable)
        wide = len(table.rows[0].cells[3].text)
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert 20 <= len(table.rows[0].cells[3].text) < wide

    play(console(busy_service()), steps, size=(160, 40))


def test_a_run_without_a_timeline_and_one_that_cannot_be_read_say_so() -> None:
    service = busy_service(run_spans=())

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "e", "t"))
        assert "no timeline" in pilot.app.screen.query_one(RowTable)._empty
        await press_all(pilot, ("s", "escape"))
        service.refusal = failure(Kind.DB_BUSY, "the database is locked")
        await press_all(pilot, ("t",))
        assert on_top(pilot) is ReadingScreen
        await press_all(pilot, ("escape", "escape", "escape"))
        assert on_top(pilot) is HomeScreen

    play(console(service), steps)


def test_the_health_screen_stays_live() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "H")
        assert on_top(pilot) is HealthScreen
        service.evidence = ILL
        pilot.app._source.nudge()  # type: ignore[attr-defined]
        await settled(pilot)
        assert "2 events held" in shown(pilot, "#health Static")

    play(console(service), steps)
