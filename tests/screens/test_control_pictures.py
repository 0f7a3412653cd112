"""What the locks, the switch and the machine look like, in every verdict and refusal, in three terminals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from pipeline.errors import Kind
from pipeline.verdicts import Verdict
from tests.screens.fakes import DISABLED, LOCKS, NOW, FakeService, busy_service, console, failure, lock, served
from tests.screens.pictures import press_all
from tests.screens.test_pictures import Scene

Compare = Callable[..., bool]
SIZES = ((80, 24), (120, 36), (200, 60))
STOPPED = lock(
    3, 61, Verdict.STOPPED, "process 4711 is suspended and holds its lock file; no heartbeat for 95 s",
    token=9, expired=True, heartbeat_age_ms=95_000, run_kind="ingest", event_name="Spring Cup",
)  # fmt: skip
ASKED = msgspec.structs.replace(LOCKS[0], run_kind="ingest", cancel_requested_at=NOW - 3_000)
STUCK = failure(
    Kind.DB_BUSY,
    "run 61 of thornhill/4863 could not be cleared within 5 s: somebody is inside a write transaction; "
    "the holder is STOPPED: process 4711 is suspended and holds its lock file",
)
NEEDS = "the checks have not passed since it was disabled"


def quiet(**facts: object) -> FakeService:
    """One event, so that pictures of dialogs stay small."""
    return FakeService(events=(served(5, 33, 3),), **facts)  # type: ignore[arg-type]


def late() -> FakeService:
    return quiet(locks=(STOPPED,))


SCENES = {
    "home_disabled": Scene(lambda: busy_service(switch=DISABLED), ("j", "j")),
    "home_read_only": Scene(lambda: busy_service(read_only=True), ("j", "j")),
    "locks": Scene(lambda: busy_service(locks=(ASKED, *LOCKS[1:])), ("l",)),
    "locks_dead": Scene(busy_service, ("j", "l")),
    "locks_none": Scene(quiet, ("l",)),
    "lock_taking": Scene(late, ("l", "x")),
    "lock_taking_alive": Scene(lambda: quiet(locks=LOCKS[:1]), ("l", "x", "w", "enter", "enter")),
    "lock_ending": Scene(lambda: quiet(locks=(STOPPED,), refusal=STUCK), ("l", "x", "w", "enter", "y")),
    "switch_disabling": Scene(lambda: quiet(locks=LOCKS[:1]), ("d", "w", "tab", "space")),
    "switch_needs_checks": Scene(lambda: quiet(switch=DISABLED, enable_needs=NEEDS), ("d",)),
    "switch_may_be_enabled": Scene(lambda: quiet(switch=DISABLED), ("d",)),
    "resources": Scene(quiet, ("m",)),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_picture(snap_compare: Compare, scene: str, size: tuple[int, int]) -> None:
    make, keys, _ = SCENES[scene]

    async def lead_there(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, keys)

    assert snap_compare(console(make()), terminal_size=size, run_before=lead_there)


def test_no_picture_is_left_from_a_scene_that_is_gone() -> None:
    folder = Path(__file__).parent / "__snapshots__" / "test_control_pictures"
    wanted = {f"test_picture[{scene}-{width}x{height}].svg" for scene in SCENES for width, height in SIZES}
    assert {path.name for path in folder.iterdir()} == wanted
