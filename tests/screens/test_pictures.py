"""What every screen looks like, full, empty and failing, in a small, a usual and a large terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from textual.pilot import Pilot

from pipeline.errors import Kind
from tests.screens.fakes import EVENTS, WARNINGS, FakeService, StillClock, busy_service, console, failure, served
from tests.screens.pictures import SIZES, after, press_all

Compare = Callable[..., bool]
BUSY = failure(Kind.DB_BUSY, "the database is locked by another process")
NOT_AN_EVENT = failure(
    Kind.USAGE,
    "“canberra” is no event: neither a LiveRC event URL nor SLUG/ID",
    remedy="Copy the address of the event's page from a browser.",
)


class Scene(NamedTuple):
    """A screen in a certain state: the pipeline behind it, the keys that lead there, and what happens then."""

    service: Callable[[], FakeService]
    keys: tuple[str, ...] = ()
    breaks: bool = False  # in the end the database stops answering, and half a minute passes


def one_served(**facts: object) -> FakeService:
    """A quiet pipeline with one event, so that pictures of dialogs stay small."""
    return FakeService(events=(served(5, 33, 3),), **facts)  # type: ignore[arg-type]


def one_failed(**facts: object) -> FakeService:
    return busy_service(events=EVENTS[2:3], live=(), locks=(), warnings=(), log=(), **facts)


def typed(text: str) -> tuple[str, ...]:
    return tuple({"/": "slash", "@": "at"}.get(character, character) for character in text)


SCENES = {
    "home": Scene(busy_service, ("j", "j")),
    "home_empty": Scene(FakeService, ("escape",)),
    "home_failing": Scene(lambda: busy_service(broken=BUSY)),
    "home_stale": Scene(busy_service, breaks=True),
    "home_filtered_log_paused": Scene(busy_service, ("slash", *"club", "enter", "4", "L", "k", "k")),
    "welcome": Scene(lambda: FakeService(contact=None)),
    "races": Scene(busy_service, ("j", "enter")),
    "races_empty": Scene(one_served, ("enter",)),
    "results": Scene(busy_service, ("j", "enter", "enter")),
    "results_empty": Scene(lambda: busy_service(race_results=()), ("j", "enter", "enter")),
    "laps": Scene(busy_service, ("j", "enter", "enter", "enter", "j", "j")),
    "laps_empty": Scene(lambda: busy_service(result_laps=()), ("j", "enter", "enter", "enter")),
    "failure": Scene(one_failed, ("e",)),
    "failure_without_log": Scene(lambda: FakeService(events=EVENTS[3:4]), ("e",)),
    "ask": Scene(one_served, ("a",)),
    "ask_refused": Scene(lambda: one_served(refusal=NOT_AN_EVENT), ("a", *typed("canberra"), "enter")),
    "races_failing": Scene(lambda: one_served(refusal=BUSY), ("enter",)),
    "warnings": Scene(lambda: one_served(warnings=WARNINGS), ("w",)),
    "warnings_empty": Scene(one_served, ("w",)),
    "help": Scene(one_served, ("question_mark",)),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_picture(snap_compare: Compare, scene: str, size: tuple[int, int]) -> None:
    make, keys, breaks = SCENES[scene]
    service, clock = make(), StillClock()
    app = console(service, clock)

    async def lead_there(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, keys)
        if breaks:
            service.broken, clock.now = BUSY, clock.now + 31
            await press_all(pilot, ("slash", "escape"))  # look again

    assert snap_compare(app, terminal_size=size, run_before=lead_there)


def test_the_light_theme(snap_compare: Compare) -> None:
    assert snap_compare(console(busy_service()), terminal_size=SIZES[0], run_before=after("T"))


def test_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(console(busy_service()), terminal_size=SIZES[0], run_before=after("j", "j"))


def test_no_picture_is_left_from_a_scene_that_is_gone() -> None:
    folder = Path(__file__).parent / "__snapshots__" / "test_pictures"
    wanted = {f"test_picture[{scene}-{width}x{height}].svg" for scene in SCENES for width, height in SIZES}
    wanted |= {"test_the_light_theme.svg", "test_without_colours.svg"}
    assert {path.name for path in folder.iterdir()} == wanted
