"""Every kind of damage is named by the right check, on both engines: rows, seals, states, archive, program.

Damage is done past the guards, to one of two healthy events. The other one must stay out of the findings.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import check_program, checks, document
from pipeline.checks import CheckReport
from pipeline.fixtures import FixtureRoots, list_sets
from pipeline.liverc.readers import SHIPPED
from pipeline.service import Service, ServiceSettings
from pipeline.store import export
from pipeline.store.events import EventRow
from tests.support.site_client import SiteClient
from tests.support.vandal import damage


class House(NamedTuple):
    """A database with two events; the victim is served in its second generation."""

    service: Service
    victim: EventRow
    name: str
    other: str
    data: Path

    @property
    def run(self) -> int:
        assert self.victim.current_run_id is not None
        return self.victim.current_run_id

    def one(self, query: str) -> int:
        """The first number that a query gives."""
        with self.service.store.read():
            return int(self.service.store.sql(query)[0][0])

    def check(self, root: Path | None = None) -> CheckReport:
        """Every check over everything; with page sets, those of the program too."""
        bench = checks.Bench(self.service.store, self.service.archive, FixtureRoots(root))
        return checks.check(bench, asked_by="test")


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    site = SimulatedSite(World(5, tracks=1, events=2, mix=("small",), catalogue_rows=5), frozen_frame=True)
    names = ["/".join(event) for event in site.events()]
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data")  # the page sets have tests of their own
    with Service(settings, client=SiteClient(site)) as service:
        for name in names:
            service.ingest(name)
        event_id = names[0].partition("/")[2]
        race = site.document(event_id).races[0]
        site.rename_race(event_id, race.source_race_id, f"{race.class_name} C-Main")
        service.ingest(names[0])
        yield House(service, service.event(names[0]), names[0], names[1], tmp_path / "data")


# ---------------------------------------------------------------- what is done to the rows

_RACE = "(SELECT id FROM race WHERE run_id = {run} AND race_order = 2)"
_RESULT = f"(SELECT id FROM result WHERE race_id = {_RACE} AND row_number = 2)"
_LAST_LAP = f"(SELECT MAX(lap_number) FROM lap WHERE result_id = {_RESULT})"
_LAPS_OF_RACE = f"result_id IN (SELECT id FROM result WHERE race_id = {_RACE})"
_RACE_COLUMNS = "class_name, race_label, round, race_number, completed_at_local, length_seconds"


class Damage(NamedTuple):
    """Statements, and the check that must name what they did."""

    found_by: str
    statements: tuple[str, ...]
    constraints: tuple[tuple[str, str], ...] = ()
    indexes: tuple[str, ...] = ()
    forge: bool = False  # make manifest and hash agree with the damaged rows, so that only the pages can tell
    engine: str | None = None  # where it can be done


def hurt(
    found_by: str,
    *statements: str,
    constraints: tuple[tuple[str, str], ...] = (),
    indexes: tuple[str, ...] = (),
    engine: str | None = None,
) -> Damage:
    return Damage(found_by, statements, constraints, indexes, engine=engine)


def forged(found_by: str, *statements: str) -> Damage:
    return Damage(found_by, statements, forge=True)


DAMAGES: dict[str, Damage] = {
    "serves a run that does not exist": hurt(
        "served-run", "UPDATE event SET current_run_id = 999999 WHERE id = {event}"
    ),
    "serves another event's run": hurt(
        "served-run",
        "UPDATE event SET current_run_id = (SELECT MAX(id) FROM run WHERE event_id <> {event}) WHERE id = {event}",
    ),
    "serves a run that is not sealed": hurt("served-run", "UPDATE run SET sealed = FALSE WHERE id = {run}"),
    "serves a purged run": hurt("served-run", "UPDATE run SET purged_at = 1 WHERE id = {run}"),
    "serves data with depth none": hurt(
        "depth",
        "UPDATE event SET ingest_depth = 'none' WHERE id = {event}",
        constraints=(("event", "event_depth_and_run_agree"), ("event", "event_complete_is_full")),
    ),
    "complete and serving nothing": hurt(
        "depth",
        "UPDATE event SET ingest_depth = 'none', current_run_id = NULL WHERE id = {event}",
        constraints=(("event", "event_complete_is_full"),),
    ),
    "served since never": hurt("depth", "UPDATE event SET last_ingested_at = NULL WHERE id = {event}"),
    "the event's own facts are gone": hurt("header", "DELETE FROM event_header WHERE run_id = {run}"),
    "a race is gone": hurt(
        "manifest",
        f"DELETE FROM lap WHERE {_LAPS_OF_RACE}",
        f"DELETE FROM result WHERE race_id = {_RACE}",
        f"DELETE FROM race WHERE id = {_RACE}",
    ),
    "a lap is gone": hurt("lap-counts", f"DELETE FROM lap WHERE result_id = {_RESULT} AND lap_number = {_LAST_LAP}"),
    "a lap in the middle is gone": hurt("laps", f"DELETE FROM lap WHERE result_id = {_RESULT} AND lap_number = 3"),
    "a lap is a millisecond longer": hurt(
        "manifest", f"UPDATE lap SET lap_time_ms = lap_time_ms + 1 WHERE result_id = {_RESULT} AND lap_number = 3"
    ),
    "time moved from one lap to the next": hurt(
        "laps",
        "UPDATE lap SET lap_time_ms = lap_time_ms + (CASE lap_number WHEN 2 THEN 5 ELSE -5 END) "
        f"WHERE result_id = {_RESULT} AND lap_number IN (2, 3)",
    ),
    "a result lost its parent": hurt("orphans", f"DELETE FROM race WHERE id = {_RACE}"),
    "laps lost their parent": hurt("orphans", f"DELETE FROM result WHERE id = {_RESULT}"),
    "a race of a run that never was": hurt(
        "orphans",
        f"INSERT INTO race (run_id, source_race_id, race_order, {_RACE_COLUMNS}) "
        f"SELECT 999999, source_race_id, race_order, {_RACE_COLUMNS} FROM race WHERE id = {_RACE}",
    ),
    "rows of a run that was not sealed": hurt(
        "partial-rows",
        'INSERT INTO run (event_id, kind, "trigger", started_at, finished_at, outcome) '
        "VALUES ({event}, 'ingest', 'test', 1, 2, 'failed')",
        f"INSERT INTO race (run_id, source_race_id, race_order, {_RACE_COLUMNS}) "
        f"SELECT (SELECT MAX(id) FROM run), source_race_id, race_order, {_RACE_COLUMNS} FROM race WHERE id = {_RACE}",
    ),
    "a race stands twice": hurt(
        "natural-keys",
        f"INSERT INTO race (run_id, source_race_id, race_order, {_RACE_COLUMNS}) "
        f"SELECT run_id, source_race_id, 99, {_RACE_COLUMNS} FROM race WHERE id = {_RACE}",
        indexes=("race_run_id_source_race_id",),
    ),
    "an event stands twice": hurt(
        "natural-keys",
        "INSERT INTO event (source, source_event_id, track_id, added_at) "
        "SELECT source, source_event_id, track_id, added_at FROM event WHERE id = {event}",
        indexes=("event_source_source_event_id",),
    ),
    "a driver stands twice in a race": hurt(
        "natural-keys",
        f"UPDATE result SET source_driver_id = (SELECT source_driver_id FROM result WHERE race_id = {_RACE} "
        f"AND row_number = 1) WHERE id = {_RESULT}",
    ),
    "a race has another number": hurt(
        "ordering", "UPDATE race SET race_order = 70 WHERE run_id = {run} AND race_order = 1"
    ),
    "a race was completed before the one before it": hurt(
        "ordering",
        "UPDATE race SET completed_at_local = '1999-01-01T10:00:00' WHERE run_id = {run} AND race_order = 3",
    ),
    "results with a gap": hurt(
        "ordering",
        f"UPDATE result SET row_number = row_number + 1 WHERE race_id = {_RACE} "
        f"AND row_number = (SELECT MAX(row_number) FROM result WHERE race_id = {_RACE})",
    ),
    "results not by position": hurt("ordering", f"UPDATE result SET position = 9 WHERE id = {_RESULT}"),
    "a driver has another name": hurt(
        "document-hash", f"UPDATE result SET driver_name = 'NOBODY' WHERE id = {_RESULT}"
    ),
    "an entry has another name": hurt(
        "document-hash", "UPDATE entry SET driver_name = 'NOBODY' WHERE run_id = {run} AND row_number = 1"
    ),
    "the recorded hash was changed": hurt(
        "document-hash", f"UPDATE run SET document_sha256 = '{'0' * 64}' WHERE id = {{run}}"
    ),
    "a value that cannot be": hurt("values", f"UPDATE result SET total_time_ms = -1 WHERE id = {_RESULT}"),
    "a value of another type": hurt(
        "export", f"UPDATE result SET fast_lap_ms = 'fast' WHERE id = {_RESULT}", engine="sqlite"
    ),
    "running and nobody works on it": hurt("states", "UPDATE event SET state = 'running' WHERE id = {event}"),
    "failed and the newest run published": hurt("states", "UPDATE event SET state = 'failed' WHERE id = {event}"),
    "a step of the state is gone": hurt(
        "states", "DELETE FROM transition WHERE id = (SELECT MAX(id) FROM transition WHERE event_id = {event})"
    ),
    "a run that never ended": hurt("states", "UPDATE run SET outcome = NULL, finished_at = NULL WHERE id = {run}"),
    "a lease of a run that is over": hurt(
        "leases",
        "UPDATE lease SET run_id = {run} WHERE event_id = {event}",
        "UPDATE event SET state = 'running' WHERE id = {event}",
    ),
    "a lease's token went back": hurt("leases", "UPDATE lease SET token = 0 WHERE event_id = {event}"),
    "an error was logged after it": hurt(
        "log",
        "INSERT INTO journal (at, entry_kind, severity, name, message, event_id) "
        "VALUES (1, 'log', 'error', 'disk_trouble', 'a write failed', {event})",
    ),
    "a whole race was forged away": forged(
        "archived-races",
        f"DELETE FROM lap WHERE {_LAPS_OF_RACE}",
        f"DELETE FROM result WHERE race_id = {_RACE}",
        f"DELETE FROM race WHERE id = {_RACE}",
        "UPDATE race SET race_order = race_order + 100 WHERE run_id = {run} AND race_order > 2",
        "UPDATE race SET race_order = race_order - 101 WHERE run_id = {run} AND race_order > 100",
    ),
    "a driver was forged away": forged(
        "archived-drivers",
        f"DELETE FROM lap WHERE result_id = {_RESULT}",
        f"DELETE FROM result WHERE id = {_RESULT}",
        f"UPDATE result SET row_number = row_number + 100 WHERE race_id = {_RACE} AND row_number > 2",
        f"UPDATE result SET row_number = row_number - 101 WHERE race_id = {_RACE} AND row_number > 100",
    ),
    "a lap was forged away": forged(
        "archived-laps",
        f"DELETE FROM lap WHERE result_id = {_RESULT} AND lap_number = {_LAST_LAP}",
        f"UPDATE result SET laps_completed = laps_completed - 1 WHERE id = {_RESULT}",
    ),
    "a total was forged": forged(
        "archived-document", f"UPDATE result SET total_time_ms = total_time_ms - 1 WHERE id = {_RESULT}"
    ),
    "an index does not hold what its table holds": hurt(
        "database-file",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX event_state ON event (added_at)' WHERE name = 'event_state'",
        "PRAGMA writable_schema = RESET",
        engine="sqlite",
    ),
}


def inflict(house: House, inflicted: Damage) -> None:
    store = house.service.store
    known = {"event": house.victim.id, "run": house.run}
    damage(
        store,
        *(statement.format(**known) for statement in inflicted.statements),
        constraints=inflicted.constraints,
        indexes=inflicted.indexes,
    )
    if inflicted.forge:
        forge(house)


def forge(house: House) -> None:
    """Make the run's manifest and hash agree with its rows, as somebody would who wants to hide what was done."""
    laps = f"""FROM race JOIN result ON result.race_id = race.id JOIN lap ON lap.result_id = result.id
               WHERE race.run_id = {house.run}"""
    sha256 = document.sha256(export.load_event(house.service.store, house.victim.id))
    damage(
        house.service.store,
        f"""UPDATE run SET document_sha256 = '{sha256}',
                race_count = (SELECT COUNT(*) FROM race WHERE run_id = {house.run}),
                result_count = (SELECT COUNT(*) FROM race JOIN result ON race_id = race.id WHERE run_id = {house.run}),
                lap_count = (SELECT COUNT(*) {laps}), lap_ms_sum = (SELECT SUM(lap_time_ms) {laps})
            WHERE id = {house.run}""",
    )


@pytest.mark.parametrize("what", [what for what, inflicted in DAMAGES.items() if inflicted.engine is None])
def test_damage_is_named_by_the_right_check(house: House, what: str) -> None:
    is_named(house, DAMAGES[what])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", [what for what, inflicted in DAMAGES.items() if inflicted.engine == "sqlite"])
def test_damage_that_only_a_file_can_suffer_is_named(house: House, what: str) -> None:
    is_named(house, DAMAGES[what])


def is_named(house: House, inflicted: Damage) -> None:
    inflict(house, inflicted)
    report = house.check()
    named = {finding.check for finding in report.findings if finding.severity == "error"}
    assert not report.passed
    assert inflicted.found_by in named, report.findings
    if inflicted.forge:
        assert named == {inflicted.found_by}
    assert house.other not in {finding.event for finding in report.findings}
    assert all(finding.message for finding in report.findings)


def test_damage_to_a_generation_that_is_not_served_is_told_and_judged_once_it_is_served(house: House) -> None:
    """Nobody can put it right, so an error would hold the event for ever; whoever serves it again finds one."""
    oldest = house.one(f"SELECT MIN(id) FROM run WHERE event_id = {house.victim.id} AND sealed")
    result = f"(SELECT MIN(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = {oldest})"
    damage(
        house.service.store,
        f"UPDATE lap SET lap_time_ms = lap_time_ms + 1 WHERE result_id = {result} AND lap_number = 2",
        f"DELETE FROM event_header WHERE run_id = {oldest}",
    )
    report = house.check()
    assert report.passed
    named = {(finding.check, finding.severity, finding.run_id) for finding in report.findings}
    assert named >= {("manifest", "warning", oldest), ("header", "warning", oldest)}
    assert house.service.event(house.name).held_at is None

    recovered = house.service.act(house.service.plan_restore(house.name, oldest))
    assert recovered.checks is not None
    assert {"manifest", "header"} <= {one.check for one in recovered.checks.findings if one.severity == "error"}
    assert recovered.checks.held == (house.name,)
    first = house.service.snapshot().events[0]
    assert (first.event, first.held_reason) == (house.name, house.service.event(house.name).held_reason)
    house.service.undo(recovered.action.id)
    assert house.service.event(house.name).held_at is None


def test_two_healthy_events_are_quiet(house: House) -> None:
    """The control: without damage nothing is found, so what the tests above find is the damage."""
    report = house.check(shipped_fixtures())
    assert report.findings == ()
    assert report.passed
    assert report.skipped == {}
    assert set(report.checks) == set(checks.CHECKS)


def test_a_missing_guard_is_named(house: House, engine: str) -> None:
    statement = "DROP TRIGGER race_delete" + (" ON race" if engine == "postgresql" else "")
    with house.service.store.write():
        house.service.store.sql(statement)
    (finding,) = house.check().findings
    assert (finding.check, finding.facts["name"]) == ("guards", "race_delete")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_guard_that_is_switched_off_is_named(house: House) -> None:
    with house.service.store.write():
        house.service.store.sql("ALTER TABLE lap DISABLE TRIGGER lap_update")
    (finding,) = house.check().findings
    assert (finding.check, finding.facts["name"]) == ("guards", "lap_update")


# ---------------------------------------------------------------- the page archive


def a_body(house: House) -> Path:
    """The file of one page of the victim's served run that no other run used."""
    manifest = house.service.archive.read_manifest(house.service.run(house.run).pages_manifest or "")
    page = next(page for page in manifest.pages if page.page_type == "event")
    return house.data / "pages" / "bodies" / page.sha256[0] / f"{page.sha256}.z"


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b"not what it was")], ids=["missing", "damaged"]
)
def test_a_lost_page_is_a_warning(house: House, harm: Callable[[Path], object]) -> None:
    """It could not be rebuilt, but it is served as it must be; an error would never end, since pages cannot return."""
    harm(a_body(house))
    report = house.check()
    assert report.passed
    (finding,) = report.findings
    assert (finding.check, finding.severity, finding.event) == ("archive", "warning", house.name)


def test_other_readers_only_warn(house: House) -> None:
    """A page that another build reads otherwise is for people to judge."""
    inflict(house, DAMAGES["a lap was forged away"])
    damage(house.service.store, f"UPDATE run SET parser_build = 'older' WHERE id = {house.run}")
    report = house.check()
    assert report.passed
    assert {(finding.check, finding.severity) for finding in report.findings} == {("archived-laps", "warning")}


# ---------------------------------------------------------------- the program


def test_a_page_set_that_reads_otherwise_is_named(house: House, tmp_path: Path) -> None:
    root = tmp_path / "fixtures"
    shutil.copytree(shipped_fixtures(), root)
    folder = list_sets(root)[0]
    expected = folder / "expected.json"
    changed = expected.read_bytes().replace(b'"race_order":1,', b'"race_order":8,', 1)
    metadata = folder / "metadata.json"
    text = metadata.read_text()
    metadata.write_text(text.replace(_sha256(expected.read_bytes()), _sha256(changed)))
    expected.write_bytes(changed)
    (finding,) = list(check_program.regression(FixtureRoots(root), SHIPPED))
    assert finding.check == "regression"
    assert folder.name in finding.message
    assert "race_order: expected 8, got 1" in finding.message


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_page_set_that_is_not_whole_is_named(house: House, tmp_path: Path) -> None:
    root = tmp_path / "fixtures"
    shutil.copytree(shipped_fixtures(), root)
    (list_sets(root)[1] / "event.html").write_bytes(b"<html>reformatted</html>")
    report = house.check(root)
    assert "regression" in {finding.check for finding in report.findings}
    assert "not the file that was captured" in str(report.findings)


def test_documents_that_depend_on_the_process_are_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash seed, time zone and language must not matter; here one of three processes says something else."""
    answers = iter([{"900101": "a"}, {"900101": "a"}, {"900101": "b"}])
    monkeypatch.setattr(check_program, "_answer", lambda process: next(answers))
    (finding,) = list(check_program.determinism(FixtureRoots(shipped_fixtures())))
    assert (finding.check, finding.facts["found"]) == ("determinism", ["a", "b"])


def test_a_process_that_cannot_replay_is_a_finding(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipeline.check_program.sys.executable", str(tmp_path / "no-python"))
    (finding,) = house.check(shipped_fixtures()).findings
    assert finding.check == "determinism"
    assert "could not be carried out" in finding.message
