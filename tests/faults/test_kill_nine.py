"""A process that is killed leaves the old run or the new one served, whole, and the next run succeeds.

At random moments over the whole of a run; at every statement and every line of the code that publishes; at every line
(SQLite) or statement (PostgreSQL) of a retry and of a rebuild, checks included, but not of what only reads and
computes; at every statement from an empty database on. What is served after each death is compared byte for byte.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from mre_console.simulator.faults import Fault
from pipeline.errors import Kind, PipelineError
from tests.conftest import NewDatabase
from tests.faults.conftest import FAULTS, Count, SetScene, sampled_on
from tests.faults.inside import Lines, Places, Statements, torn_publish
from tests.faults.processes import Attempt, Launcher
from tests.faults.scenes import Scene, small_site, tiny_site

KILLS = 100 if FAULTS else 6  # per engine, at random moments
SAMPLE = 3  # places of each kind in `make test`
SEED = 20_261_123
FRESH_EVERY = 4  # every so many kills hit the first ingestion of an event
PHASES = ("starting", "fetching", "publishing", "fetching", "publishing")  # in turn
BY_ENGINE: dict[str, type[Places]] = {"sqlite": Lines, "postgresql": Statements}  # long commands: each kind once
PUBLISH = "pipeline.runs:Run.publish"


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


def test_killed_at_random_moments(set_scene: SetScene, engine: str, count: Count) -> None:
    rng = random.Random(SEED)
    scene = set_scene(small_site(events=1 + KILLS))
    scene.ingest()
    durations = calibrate(scene)
    died, fresh = Counter[str](), 0
    with count("kill -9 at a random moment of a run", engine) as tally:
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
            scene.recover()
            if where is not None:
                died[where] += 1
                tally.saw(served, where, *(["first ingestion"] if first_time else []))
            if first_time:
                scene.turn_to(0)
    assert died.total() >= KILLS
    assert set(died) == set(PHASES), "the moments did not spread over the whole run"


def names_of(attempt: Attempt, listing: Path) -> list[str]:
    """The names of all places that a process came by which only counted them."""
    assert attempt.wait() == 0, attempt.said
    names: list[str] = json.loads(listing.read_text(encoding="utf-8"))
    return names


def chosen(names: list[str], *always: int) -> Iterator[tuple[int, str]]:
    """Places to die at: all, or a few, among them those `always`."""
    sample = set(always) | set(random.Random(SEED).sample(range(1, len(names) + 1), SAMPLE))
    return ((number, name) for number, name in enumerate(names, 1) if FAULTS or number in sample)


def test_killed_at_every_statement_of_publishing(
    set_scene: SetScene, tmp_path: Path, engine: str, count: Count
) -> None:
    scene = set_scene(tiny_site())
    scene.ingest()
    scene.correct()
    listing = tmp_path / "places.json"
    names = names_of(scene.launch(prepare=Statements(0, listing, PUBLISH)), listing)
    committed = names.index("COMMIT") + 1
    assert all(
        any(re.match(rf"rows of .* {table} \(", name) for name in names) for table in ("race", "result", "lap", "entry")
    )
    with count("kill -9 at a statement of publish", engine, len(names)) as tally:
        for number, name in chosen(names, committed, committed + 1):
            old = scene.served()
            scene.correct()
            attempt = scene.launch(prepare=Statements(number, listing, PUBLISH))
            assert attempt.wait() == -9, f"{name}: {attempt.said}"
            served = scene.check_whole(old, scene.truth())
            held = scene.recover()
            # Until the COMMIT nothing of it is there, from then on everything is; there is no third state.
            assert (served, held) == ((1, False) if number > committed else (0, True)), f"before {name} ({number})"
            tally.saw(served)


@sampled_on("sqlite")
def test_killed_at_every_line_of_publishing(set_scene: SetScene, tmp_path: Path, engine: str, count: Count) -> None:
    scene = set_scene(tiny_site())
    scene.ingest()
    kill_everywhere(
        Lines, scene, ["ingest", scene.name], tmp_path / "places.json", (PUBLISH,), scene.correct, count, engine
    )


@sampled_on("postgresql")
def test_killed_anywhere_in_a_retry(set_scene: SetScene, tmp_path: Path, engine: str, count: Count) -> None:
    """From before the run until after the checks of what it published."""
    scene = set_scene(tiny_site())
    scene.ingest()

    def fail() -> None:
        scene.correct()
        fault = scene.server.faults.add(Fault("404", "race_result"))
        with pytest.raises(PipelineError) as failure:
            scene.service.ingest(scene.name)
        assert failure.value.kind is Kind.NOT_FOUND
        scene.server.faults.remove(fault)

    watched = ("pipeline.ingest:ingest_event", "pipeline.checks:require")
    kill_everywhere(
        BY_ENGINE[engine], scene, ["retry", scene.name, "--yes"], tmp_path / "places.json", watched, fail, count, engine
    )


@sampled_on("sqlite")
def test_killed_anywhere_in_a_rebuild(set_scene: SetScene, tmp_path: Path, engine: str, count: Count) -> None:
    scene = set_scene(tiny_site())
    scene.ingest()

    def lose() -> None:
        scene.service.reset_event_ingestion(scene.name)

    watched = ("pipeline.rebuild:_rebuild",)
    kill_everywhere(
        BY_ENGINE[engine], scene, ["rebuild", scene.name], tmp_path / "places.json", watched, lose, count, engine
    )


def kill_everywhere(
    places: type[Places],
    scene: Scene,
    words: list[str],
    listing: Path,
    watched: tuple[str, ...],
    prepare: Callable[[], None],
    count: Count,
    engine: str,
) -> None:
    """Die at every place in what is watched of a command; `prepare` makes that there is something for it to do."""
    for _ in range(2):  # the first one pays for what is loaded once
        prepare()
        names = names_of(scene.order(*words, prepare=places(0, listing, *watched)), listing)
    what = "publish" if watched == (PUBLISH,) else words[0]
    with count(f"kill -9 at a {places.__name__[:-1].lower()} of {what}", engine, len(names)) as tally:
        for number, name in chosen(names, len(names)):
            prepare()
            old = scene.served()
            attempt = scene.order(*words, prepare=places(number, listing, *watched))
            if attempt.wait() == 0:  # where progress is written depends on the clock
                tally.saw(scene.check_whole(scene.truth()) + 1, "not reached")
                continue
            assert attempt.wait() == -9, f"{name}: {attempt.said}"
            served = scene.check_whole(old, scene.truth())
            tally.saw(served, *(["lease left"] if scene.recover() else []))
    assert tally.besides["not reached"] <= max(1, len(names) // 20)


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
    new_database: NewDatabase, set_scene: SetScene, launcher: Launcher, tmp_path: Path, engine: str, count: Count
) -> None:
    """Also while the tables are made: the next run finds either none of them or all."""
    first = set_scene(tiny_site())
    listing = tmp_path / "places.json"

    def on_empty_database() -> Scene:
        return Scene(first.site, first.server, new_database(empty=True), tmp_path / "data", launcher)

    for _ in range(2):  # the first one pays for what is loaded once, and may have more progress to write
        names = names_of(on_empty_database().launch(prepare=Statements(0, listing)), listing)
    with count("kill -9 at a statement, on an empty database", engine, len(names)) as tally:
        for number, _ in chosen(names):
            scene = on_empty_database()
            attempt = scene.launch(prepare=Statements(number, listing))
            # How often progress is written depends on the clock, so the last places may not come up again.
            reached = attempt.wait() != 0
            served = scene.check_whole(None, scene.truth())
            held = scene.recover()
            tally.saw(served, *(["lease left"] if held else []), *([] if reached else ["not reached"]))
            scene.close()
    assert tally.besides["not reached"] <= max(1, len(names) // 20)
