"""What changed at LiveRC, by keys: what moved, repair, cases, page sets. Nothing is changed that was not confirmed."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Static

from pipeline.errors import Kind
from pipeline.store.control import ControlRow
from screens.cases import CaseScreen, CasesScreen
from screens.confirming import ConfirmScreen
from screens.diff_rows import Shape, beside, change_starts, marked, unified
from screens.diffing import DiffScreen
from screens.home import HomeScreen
from screens.ingesting import CaseIngestScreen
from screens.outcome import OutcomeScreen
from screens.reading import ReadingScreen
from screens.telling import plain
from screens.widgets.diff import DiffView
from screens.widgets.table import RowTable
from tests.screens.fake_drift import CASES, CONFIRMED, GREEN, RED, REPAIR, SUSPECTED, comparison
from tests.screens.fake_recovery import EVENT
from tests.screens.fakes import FakeService, busy_service, console, failure
from tests.screens.pictures import play, press_all, settled

Console = Pilot[str | None]
Shown = TypeVar("Shown")
AT_DIFF = ("j", "j", "h")
REASON = (*"it moved", "enter")
ACTS = ("accept_repair", "undo_repair", "close_drift_case", "ingest_case", "probe", "run_gate", "check_fixture_live")


def drifting(**facts: object) -> FakeService:
    return busy_service(**{"cases": (CONFIRMED,), **facts})


def on_top(pilot: Console, kind: type[Shown]) -> Shown:
    screen = pilot.app.screen
    assert isinstance(screen, kind), screen
    return screen


def text_of(pilot: Console, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def read(pilot: Console) -> str:
    return plain(on_top(pilot, ReadingScreen)._lines)


def said(pilot: Console) -> list[str]:
    return [note.message for note in pilot.app._notifications]


def acts(service: FakeService) -> list[tuple[object, ...]]:
    return [call for call in service.called if call[0] in ACTS]


# ---------------------------------------------------------------- two pages


def test_the_headline_names_the_field_and_its_place_is_marked_on_both_pages() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_DIFF)
        screen = on_top(pilot, DiffScreen)
        assert "column 'Fastest Lap' is gone" in text_of(pilot, "#headline")
        assert "its values stand in 'Best'" in text_of(pilot, "#headline")
        assert "fast_lap_ms → column 'Best'" in text_of(pilot, "#proposal")
        assert screen.query_one(RowTable).key == "fast_lap_ms"
        lines = beside(comparison("header_renamed").diff.lines)
        view = screen.query_one(DiffView)
        at_mark = {(lines[at].old or lines[at].new).text.strip() for at in view.marks}  # type: ignore[union-attr]
        assert "th “Fastest Lap”" in at_mark
        before = view.marks
        await press_all(pilot, ("j", "j", "j"))
        assert view.marks != before

    play(console(drifting()), steps)


def test_changes_are_walked_and_the_shape_is_toggled() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, AT_DIFF)
        screen = on_top(pilot, DiffScreen)
        view = screen.query_one(DiffView)
        assert (screen.shape, view.change, view.changes) == (Shape.BESIDE, 0, 2)
        await press_all(pilot, ("n", "n"))
        assert view.change == 1
        assert said(pilot) == ["There is no further change."]
        await press_all(pilot, ("N", "u"))
        assert (screen.shape, view.change) == (Shape.UNIFIED, 0)
        await press_all(pilot, ("b",))
        assert screen.query_one(DiffView).changes > 2  # build markers and flags, too
        assert str(view.border_title).endswith("raw")
        await press_all(pilot, ("b",))
        assert str(view.border_title).endswith("side by side")

    play(console(drifting()), steps)


@pytest.mark.parametrize("shape", [unified, beside])
def test_both_shapes_hold_every_line_of_both_pages_in_order(shape: object) -> None:
    diff = comparison("column_inserted").diff
    rows = shape(diff.lines)  # type: ignore[operator]
    assert [row.old.line for row in rows if row.old] == list(range(len(diff.old)))
    assert [row.new.line for row in rows if row.new] == list(range(len(diff.new)))
    assert len(change_starts(rows)) == len(diff.changes)
    assert {rows[at].new.line for at in marked(rows, (), (4, 7))} == {4, 7}


def test_the_stored_page_is_read_again_offline() -> None:
    service = drifting(mutation="table_class_renamed")

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "r"))
        assert "✗" in read(pilot)

    play(console(service), steps)
    assert service.called[-1] == ("reparse_page", comparison("table_class_renamed").new.url)


def test_where_there_is_nothing_to_compare_it_says_why_and_the_keys_are_greyed() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "n", "y"))
        assert "Run 57 has no pages" in text_of(pilot, "#headline")
        assert said(pilot) == ["There are no two pages to compare."]
        on_top(pilot, DiffScreen)

    play(console(drifting(cases=(), compares=failure(Kind.USAGE, "Run 57 has no pages in the archive"))), steps)


def test_only_a_failed_event_has_something_that_moved() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("h",))
        on_top(pilot, HomeScreen)
        assert said(pilot) == ["The event under the cursor did not fail."]
        await press_all(pilot, ("j", "j", "e", "h"))
        on_top(pilot, DiffScreen)

    play(console(drifting()), steps)


# ---------------------------------------------------------------- repair


def test_the_key_that_led_to_the_question_does_not_answer_it() -> None:
    service = drifting()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "y", *REASON, "y", "y", "enter"))
        on_top(pilot, DiffScreen)  # enter pressed Cancel, which has the focus

    play(console(service), steps)
    assert acts(service) == []


def test_what_was_shown_is_accepted_with_a_reason_then_the_gate_is_shown() -> None:
    service = drifting()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "y", *REASON))
        screen = on_top(pilot, ConfirmScreen)
        assert screen.focused is screen.query_one("#cancel", Button)
        await press_all(pilot, ("a",))
        on_top(pilot, OutcomeScreen)
        shown = text_of(pilot, "#outcome Static")
        assert "Version 1 of the contract" in shown
        assert "● The gate is open" in shown
        assert "x closes the case as repaired" in text_of(pilot, "#next")

    play(console(service), steps)
    found = service.repair_proposal(CONFIRMED.id)
    assert acts(service) == [("accept_repair", 3, "it moved", found.digest, True)]


def test_a_gate_that_stays_closed_is_told_with_its_set() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "y", *REASON, "a"))
        assert "■ The gate is closed, nothing is ingested: page set 4863" in text_of(pilot, "#outcome Static")
        assert "z takes the repair back" in text_of(pilot, "#next")

    play(console(drifting(gates=RED)), steps)


def test_what_cannot_be_known_is_said_and_not_accepted() -> None:
    service = drifting(mutation="column_removed")

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "y"))
        on_top(pilot, DiffScreen)
        assert "cannot be known: fast_lap_ms, fast_lap_number" in text_of(pilot, "#proposal")
        assert "cannot be known" in text_of(pilot, "#field")
        assert "no selector can be added" in said(pilot)[0]

    play(console(service), steps)
    assert acts(service) == []


def test_a_repair_in_force_can_be_taken_back_and_not_accepted_twice() -> None:
    service = drifting(history=(REPAIR,))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "y"))
        assert "version 1 of the contract is in force" in text_of(pilot, "#proposal")
        on_top(pilot, DiffScreen)
        await press_all(pilot, ("z", *REASON, "y"))
        assert "takes the repair back" in text_of(pilot, "#outcome Static")

    play(console(service), steps)
    assert acts(service) == [("undo_repair", "race_result", 1, "it moved")]


def test_closing_as_repaired_ingests_the_events_again() -> None:
    service = drifting(history=(REPAIR,))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "x", *REASON, "y"))
        on_top(pilot, CaseIngestScreen)
        rows = [[cell.text for cell in row.cells] for row in pilot.app.screen.query_one(RowTable).rows]
        assert rows[0] == [EVENT, "● published by run 72: 17 races, 5,128 laps"]
        assert rows[1][1].startswith("✗ event thornhill/4865 has no races")
        assert "2 of 2 events · 1 failed" in text_of(pilot, "#about")
        await press_all(pilot, ("escape",))
        assert "repaired" in text_of(pilot, "#proposal")

    play(console(service), steps)
    assert acts(service) == [("close_drift_case", 3, "repaired", "it moved"), ("ingest_case", 3)]


def test_an_undecided_case_is_probed_or_dismissed_but_not_repaired() -> None:
    service = drifting(cases=(msgspec.structs.replace(SUSPECTED, page_type="race_result"),))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("D", "enter", "x"))
        assert said(pilot) == ["The probes have not decided yet: f asks them, X dismisses the case."]
        await press_all(pilot, ("X", *REASON, "escape"))
        on_top(pilot, CaseScreen)
        assert acts(service) == []
        await press_all(pilot, ("f",))
        assert "■ confirmed" in text_of(pilot, "#case Static")

    play(console(service), steps)
    assert acts(service) == [("probe", 4)]


@pytest.mark.parametrize("facts", [{"read_only": True}, {"switch": ControlRow("disabled", "a storm", "ann", 1)}])
def test_what_the_mode_forbids_is_greyed_and_says_why(facts: dict[str, object]) -> None:
    service = drifting(history=(REPAIR,), **facts)
    closed = msgspec.structs.replace(CONFIRMED, state="repaired", closed_at=1, closed_by="ann", closed_why="done")

    async def steps(pilot: Console) -> None:
        await press_all(pilot, (*AT_DIFF, "z"))
        assert isinstance(pilot.app.screen, DiffScreen) == service.read_only  # recovery is never switched off
        await press_all(pilot, ("escape",) if not service.read_only else ())
        service.cases = (closed,)
        await press_all(pilot, ("escape", "D", "enter", "i"))
        on_top(pilot, CaseScreen)
        assert any(("read-only" if service.read_only else "a storm") in note for note in said(pilot))

    play(console(service), steps)
    assert acts(service) == []


# ---------------------------------------------------------------- cases, page sets, the banner


def test_the_cases_lead_to_one_of_them_and_to_what_moved() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("D", "j"))
        on_top(pilot, CasesScreen)
        await press_all(pilot, ("enter",))
        shown = text_of(pilot, "#case Static")
        for part in ("✗ differs", "● equal", "What would repair it", "was asked for meanwhile and refused"):
            assert part in shown
        await press_all(pilot, ("h",))
        assert "column 'Fastest Lap' is gone" in text_of(pilot, "#headline")

    service = drifting(cases=CASES)
    play(console(service), steps)
    assert ("compare_case", 3) in service.called


def test_the_banner_names_what_is_refused_everywhere_and_goes_when_it_is_over() -> None:
    service = drifting(gates=RED, locks=())

    async def steps(pilot: Console) -> None:
        home = on_top(pilot, HomeScreen)
        shown = text_of(pilot, "#notices")
        assert "■ The gate is closed. page set 4863 v1: fast_lap_ms" in shown
        assert "■ LiveRC changed race_result (case 3): read nowhere, 2 events on it" in shown
        service.gates, service.cases = GREEN, ()
        home._source.nudge()
        await settled(pilot)
        assert not home.query_one("#notices").display

    play(console(service), steps)


@pytest.mark.parametrize(
    ("key", "call", "shown"),
    [
        ("enter", ("fixture", "4863", 1), "Its history"),
        ("r", ("replay_fixture", "4863", "full"), "Otherwise than expected"),
        ("a", ("check_fixture", "4863"), "✗ the page moved"),
        ("l", ("check_fixture_live", "4863"), "✗ the page moved"),
    ],
)
def test_a_page_set_is_shown_replayed_and_checked(key: str, call: tuple[object, ...], shown: str) -> None:
    service = drifting(gates=RED)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("P", "G", key))
        assert shown in read(pilot)

    play(console(service), steps)
    assert call in service.called


def test_replaying_everything_opens_the_gate_again() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("P",))
        assert "■ The gate is closed" in text_of(pilot, "#about")
        await press_all(pilot, ("m", "m", "v"))
        assert "● The gate is open" in text_of(pilot, "#about")
        assert "r replays: parse" in text_of(pilot, "#detail")
        await press_all(pilot, ("h",))
        on_top(pilot, DiffScreen)

    service = drifting(gates=RED)
    play(console(service), steps)
    assert ("run_gate",) in service.called
    assert service.called[-1] == ("compare_fixture", "900101")


def test_read_only_replays_but_does_not_judge() -> None:
    service = drifting(gates=RED, read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("P", "v", "l", "r"))
        on_top(pilot, ReadingScreen)

    play(console(service), steps)
    assert acts(service) == []
    assert any(call[0] == "replay_fixture" for call in service.called)
