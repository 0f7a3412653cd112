"""What the screens of recovery look like, full, empty and refused, in a small, a usual and a large terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.errors import Kind
from pipeline.recovering import Recovered
from pipeline.store.control import ControlRow
from tests.screens.fake_recovery import EVENT, GUARD, HASH, NOTHING, RETRY, SLOW, action, check_report, plan
from tests.screens.fakes import EVENTS, FakeService, busy_service, console, failure, served
from tests.screens.pictures import after

Compare = Callable[..., bool]
SIZES = ((80, 24), (120, 36), (200, 60))
AT_FAILED = ("j", "j")


SMALL = SIZES[:1]  # for what only says something else in the same place


class Scene(NamedTuple):
    """A screen in a certain state: the pipeline behind it, and the keys that lead there."""

    service: Callable[[], FakeService]
    keys: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...] = SIZES


def with_plan(kind: str, answer: object) -> FakeService:
    service = busy_service()
    service.plans[kind] = answer  # type: ignore[assignment]
    return service


LOCKED = failure(Kind.LOCK_HELD, "run 60 is working on thornhill/4863 since 17:09", event=EVENT, run_id=60)
FAILED_CHECKS = Recovered(action(12, plan(), 0), check_report(HASH, SLOW))
OUTCOMES = {
    RETRY.stages[0][0]: failure(Kind.NO_RACES, "event 4863 has no races on its page"),
    RETRY.stages[1][0]: failure(Kind.LOCK_HELD, "run 60 is working on it"),
}
DISABLED = ControlRow("disabled", "LiveRC changed its race pages", "ann", 1)

HELD = served(3, 41, 60 * 50, event_name="Spring Cup", held_reason=f"checks failed (document-hash): {HASH.message}")

SCENES = {
    "home_held": Scene(lambda: busy_service(events=(HELD, *EVENTS[4:]), live=(), locks=()), ()),
    "plan": Scene(busy_service, (*AT_FAILED, "c", "f")),
    "plan_of_nothing": Scene(lambda: with_plan("cleanup", NOTHING), (*AT_FAILED, "c"), SMALL),
    "plan_made_again": Scene(lambda: busy_service(stale=1), (*AT_FAILED, "x", "y"), SMALL),
    "plan_read_only": Scene(lambda: busy_service(read_only=True), (*AT_FAILED, "x"), SMALL),
    "plan_refused": Scene(lambda: with_plan("cleanup", LOCKED), (*AT_FAILED, "c")),
    "done": Scene(busy_service, (*AT_FAILED, "x", "y")),
    "done_checks_failed": Scene(lambda: busy_service(acts=FAILED_CHECKS), (*AT_FAILED, "x", "y")),
    "undone": Scene(busy_service, (*AT_FAILED, "z", "y"), SMALL),
    "actions": Scene(busy_service, (*AT_FAILED, "A", "a", "j")),
    "actions_empty": Scene(lambda: busy_service(taken=()), (*AT_FAILED, "A"), SMALL),
    "action": Scene(busy_service, (*AT_FAILED, "A", "enter")),
    "runs": Scene(busy_service, (*AT_FAILED, "o")),
    "checks_quiet": Scene(busy_service, (*AT_FAILED, "v")),
    "checks_failed": Scene(lambda: busy_service(checked=check_report(GUARD, HASH, SLOW, event=None)), ("v", "j")),
    "retry": Scene(busy_service, ("R",)),
    "retry_disabled": Scene(lambda: busy_service(switch=DISABLED), ("R",), SMALL),
    "retry_stopped": Scene(lambda: busy_service(outcomes=OUTCOMES), ("R", "y")),
}  # fmt: skip


PICTURES = [(name, size) for name, scene in SCENES.items() for size in scene.sizes]


@pytest.mark.parametrize(("scene", "size"), PICTURES, ids=[f"{name}-{w}x{h}" for name, (w, h) in PICTURES])
def test_picture(snap_compare: Compare, scene: str, size: tuple[int, int]) -> None:
    make, keys, _ = SCENES[scene]
    assert snap_compare(console(make()), terminal_size=size, run_before=after(*keys))


def test_no_picture_is_left_from_a_scene_that_is_gone() -> None:
    folder = Path(__file__).parent / "__snapshots__" / "test_recovery_pictures"
    wanted = {f"test_picture[{scene}-{width}x{height}].svg" for scene, (width, height) in PICTURES}
    assert {path.name for path in folder.iterdir()} == wanted
