"""A process that is killed leaves the old run or the new one served, whole, and the next run succeeds.

First at random moments over the whole of a run, then at every statement of the transaction that publishes, then at
every statement from an empty database on. What is served after each death is compared byte for byte.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from tests.conftest import NewDatabase
from tests.faults.conftest import FAULTS, SetScene
from tests.faults.inside import KillPoints, torn_publish
from tests.faults.processes import Launcher
from tests.faults.scenes import Scene, small_site, tiny_site

KILLS = 100 if FAULTS else 10  # per engine
SEED = 20_261_123
FRESH_EVERY = 4  # every so many kills hit the first ingestion of an event
PHASES = ("starting", "fetching", "publishing", "fetching", "publishing")  # in turn
MARKS = ("SAVEPOINT", "RELEASE", "SELECT")  # change nothing: dying before the statement after them is the same
RecordCounts = Callable[[str, object], None]


def calibrate(scene: Scene) -> dict[str, float]:
    """Seconds that each phase of a run takes: to its first page, to its last page, and from there to its end."""
    durations: dict[str, float] = {}
    for _ in range(3):  # the first run pays for what is loaded once
        scene.correct()
        pages, began = scene.requests(), monotonic()
        attempt = scene.launch()
        scene.wait_for_page(pages, 1)
        first = monotonic()
        scene.wait_for_page(pages, scene.pages)
        last = monotonic()
        assert attempt.wait() == 0, attempt.said
        durations = {"starting": first - began, "fetching": last - first, "publishing": monotonic() - last}
    return durations


def kill_within(scene: Scene, phase: str, seconds: float) -> str | None:
    """Launch a run and kill it so long after the phase began. Returns the phase it died in; None: it had ended."""
    pages = scene.requests()
    attempt = scene.launch()
    if phase != "starting":
        scene.wait_for_page(pages, 1 if phase == "fetching" else scene.pages)
    attempt.ended_within(seconds)
    if not attempt.kill():
        return None
    asked = scene.requests() - pages
    return "starting" if asked == 0 else "fetching" if asked < scene.pages else "publishing"


def test_killed_at_random_moments(set_scene: SetScene, record_property: RecordCounts) -> None:
    rng = random.Random(SEED)
    scene = set_scene(small_site(events=1 + KILLS))
    scene.ingest()
    durations = calibrate(scene)
    died, counts, fresh = Counter[str](), Counter[str](), 0
    for number in range(3 * KILLS):
        if died.total() >= KILLS and set(died) == set(PHASES):
            break
        if first_time := number % FRESH_EVERY == FRESH_EVERY - 1:
            fresh += 1
            scene.turn_to(fresh)
        old = None if first_time else scene.served()
        scene.correct()
        new = scene.truth()
        phase = PHASES[number % len(PHASES)]
        where = kill_within(scene, phase, rng.random() * durations[phase])
        # Reach past the end of the phase about one time in three, however busy the machine is: nothing is left out.
        durations[phase] *= 1.05 if where == phase else 0.9
        served = scene.check_whole(old, new)
        held = scene.recover()
        if where is not None:
            died[where] += 1
            counts[("old", "new")[served]] += 1
            counts["lease left"] += held
            counts["first ingestions"] += first_time
        if first_time:
            scene.turn_to(0)
    record_property("counts", f"{died.total()} kills at random moments: {dict(died)}, served {dict(counts)}")
    assert died.total() >= KILLS
    assert set(died) == set(PHASES), "the moments did not spread over the whole run"


def kill_points(scene: Scene, listing: Path, *, only_publish: bool) -> list[str]:
    """The names of all places where a run may be killed; makes that run."""
    attempt = scene.launch(prepare=KillPoints(0, listing, only_publish=only_publish))
    assert attempt.wait() == 0, attempt.said
    names: list[str] = json.loads(listing.read_text(encoding="utf-8"))
    return names


def test_killed_at_every_statement_of_publishing(
    set_scene: SetScene, tmp_path: Path, record_property: RecordCounts
) -> None:
    scene = set_scene(tiny_site())
    scene.ingest()
    scene.correct()
    names = kill_points(scene, tmp_path / "points.json", only_publish=True)
    committed = names.index("COMMIT") + 1
    chosen = [place for place in enumerate(names, 1) if FAULTS or not place[1].startswith(MARKS)]
    counts = Counter[str]()
    assert all(
        any(re.match(rf"rows of .* {table} \(", name) for name in names) for table in ("race", "result", "lap", "entry")
    )
    for number, name in chosen:
        old = scene.served()
        scene.correct()
        attempt = scene.launch(prepare=KillPoints(number, tmp_path / "unused", only_publish=True))
        assert attempt.wait() == -9, f"{name}: {attempt.said}"
        served = scene.check_whole(old, scene.truth())
        held = scene.recover()
        # Until the COMMIT nothing of it is there, from then on everything is; there is no third state.
        assert (served, held) == ((1, False) if number > committed else (0, True)), f"before {name} ({number})"
        counts[("old", "new")[served]] += 1
    record_property("counts", f"{len(chosen)} of {len(names)} kills inside publish: served {dict(counts)}")


def test_control_a_torn_publish_is_seen(set_scene: SetScene) -> None:
    """The check that follows each kill has teeth: it goes red where rows were committed before they were sealed."""
    scene = set_scene(tiny_site())
    scene.ingest()
    scene.correct()
    old = scene.served()
    assert scene.launch(prepare=torn_publish).wait() == -9
    with pytest.raises(AssertionError, match="not sealed"):
        scene.check_whole(old, scene.truth())


def test_killed_at_every_statement_from_an_empty_database_on(
    new_database: NewDatabase, set_scene: SetScene, launcher: Launcher, tmp_path: Path, record_property: RecordCounts
) -> None:
    """Also while the tables are made: the next run finds either none of them or all."""
    first = set_scene(tiny_site())

    def on_empty_database() -> Scene:
        return Scene(first.site, first.server, new_database(empty=True), tmp_path / "data", launcher)

    for _ in range(2):  # the first one pays for what is loaded once, and may have more progress to write
        names = kill_points(on_empty_database(), tmp_path / "points.json", only_publish=False)
    rng = random.Random(SEED)
    chosen = range(1, len(names) + 1) if FAULTS else sorted(rng.sample(range(1, len(names) + 1), 8))
    counts = Counter[str]()
    for number in chosen:
        scene = on_empty_database()
        attempt = scene.launch(prepare=KillPoints(number, tmp_path / "unused", only_publish=False))
        # How often progress is written depends on the clock, so the last places may not come up again.
        counts["not reached"] += attempt.wait() == 0
        served = scene.check_whole(None, scene.truth())
        counts["lease left"] += scene.recover()
        counts[("nothing", "new")[served]] += 1
        scene.close()
    assert counts["not reached"] <= max(1, len(chosen) // 20)
    record_property("counts", f"{len(chosen)} of {len(names)} kills from an empty database on: served {dict(counts)}")
