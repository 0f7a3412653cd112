"""What two pages beside each other, drift cases, repairs, page sets and the gate look like, in three terminals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.errors import Kind
from tests.screens.fake_drift import CASES, CONFIRMED, RED, REPAIR
from tests.screens.fakes import FakeService, busy_service, console, failure
from tests.screens.pictures import after

Compare = Callable[..., bool]
SIZES = ((80, 24), (120, 36), (200, 60))
AT_FAILED = ("j", "j")
NO_PAGES = failure(Kind.USAGE, "Run 57 has no pages in the archive", remedy="Ingest the event again.")
UNKNOWN = failure(Kind.USAGE, "No page of drift case 3 is known from before, so there is nothing to learn from")


class Scene(NamedTuple):
    """A screen in a certain state: the pipeline behind it, and the keys that lead there."""

    service: Callable[[], FakeService]
    keys: tuple[str, ...]


def drifting(**facts: Any) -> FakeService:
    """LiveRC has changed, and one case of it is confirmed."""
    return busy_service(**{"cases": CASES, "live": (), "locks": (), **facts})


REASON = (*"why", "enter")
SCENES = {
    "home": Scene(lambda: drifting(gates=RED), AT_FAILED),
    "diff_moved": Scene(drifting, (*AT_FAILED, "h")),
    "diff_lost": Scene(lambda: drifting(mutation="column_removed"), (*AT_FAILED, "h")),
    "diff_unreadable": Scene(lambda: drifting(mutation="table_class_renamed"), (*AT_FAILED, "h", "u", "j")),
    "diff_raw": Scene(drifting, (*AT_FAILED, "h", "b", "n")),
    "diff_none": Scene(lambda: drifting(compares=NO_PAGES, cases=()), (*AT_FAILED, "h")),
    "diff_read_again": Scene(lambda: drifting(mutation="table_class_renamed"), (*AT_FAILED, "h", "r")),
    "preview": Scene(drifting, (*AT_FAILED, "h", "p")),
    "accepting": Scene(drifting, (*AT_FAILED, "h", "y", *REASON)),
    "accepted": Scene(drifting, (*AT_FAILED, "h", "y", *REASON, "a")),
    "accepted_gate_closed": Scene(lambda: drifting(gates=RED), (*AT_FAILED, "h", "y", *REASON, "a")),
    "undone": Scene(lambda: drifting(history=(REPAIR,)), (*AT_FAILED, "h", "z", *REASON, "y")),
    "closing": Scene(lambda: drifting(history=(REPAIR,)), (*AT_FAILED, "h", "x", *REASON)),
    "ingested_again": Scene(lambda: drifting(history=(REPAIR,)), (*AT_FAILED, "h", "x", *REASON, "y")),
    "cases": Scene(drifting, ("D", "j")),
    "cases_none": Scene(busy_service, ("D",)),
    "case": Scene(drifting, ("D", "j", "enter")),
    "case_without_a_page": Scene(lambda: drifting(cases=(CONFIRMED,), proposes=UNKNOWN), ("D", "enter")),
    "fixtures": Scene(busy_service, ("P",)),
    "fixtures_red": Scene(lambda: drifting(gates=RED), ("P", "G")),
    "fixture": Scene(busy_service, ("P", "G", "enter")),
    "fixture_replayed": Scene(lambda: drifting(gates=RED), ("P", "G", "m", "r")),
    "fixture_checked": Scene(busy_service, ("P", "a")),
}  # fmt: skip


EVERYWHERE = (
    "home", "diff_moved", "diff_lost", "diff_unreadable", "accepted_gate_closed", "cases", "case", "fixtures_red",
)  # fmt: skip
PICTURES = [(scene, size) for scene in SCENES for size in (SIZES if scene in EVERYWHERE else SIZES[:1])]


def name_of(part: object) -> str:
    return "x".join(map(str, part)) if isinstance(part, tuple) else str(part)


@pytest.mark.parametrize(("scene", "size"), PICTURES, ids=name_of)
def test_picture(snap_compare: Compare, scene: str, size: tuple[int, int]) -> None:
    make, keys = SCENES[scene]
    assert snap_compare(console(make()), terminal_size=size, run_before=after(*keys))


def test_no_picture_is_left_from_a_scene_that_is_gone() -> None:
    folder = Path(__file__).parent / "__snapshots__" / "test_drift_pictures"
    wanted = {f"test_picture[{scene}-{name_of(size)}].svg" for scene, size in PICTURES}
    assert {path.name for path in folder.iterdir()} == wanted
