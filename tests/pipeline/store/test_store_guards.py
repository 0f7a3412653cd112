"""Runs and their rows: sealed only when whole, final once sealed, and out only by a purge. Both engines refuse."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import events, export, publish, runs
from pipeline.store.database import Store
from tests.support import generations
from tests.support.generations import begin, document, published
from tests.support.strangers import INTO_SEALED, SEAL, Stranger, known_ids, unsealed_rows

# ---------------------------------------------------------------- runs


BORN_WRONG: list[dict[str, str]] = [
    {"sealed": "TRUE"},
    {"sealed": "TRUE", "document_sha256": "'x'"},
    {"outcome": "'published'"},
    {"purged_at": "1"},
    {"kind": "'prank'"},
    {"race_count": "NULL"},
    {"lap_ms_sum": "NULL"},
]


def test_a_run_is_born_unsealed_and_without_outcome(store: Store, stranger: Stranger) -> None:
    event_id = begin(store).event_id
    for columns in BORN_WRONG:
        facts = {"event_id": str(event_id), "kind": "'ingest'", '"trigger"': "'test'", "started_at": "0", **columns}
        stranger.refuses(f"INSERT INTO run ({', '.join(facts)}) VALUES ({', '.join(facts.values())})")


EDITS = [
    "sealed = FALSE",
    "race_count = race_count + 1",
    "result_count = 0",
    "lap_count = lap_count - 1",
    "lap_ms_sum = 1",
    "entry_count = 0",
    "document_sha256 = 'other'",
    "document_sha256 = NULL",
    "parser_build = 'other'",
    "event_id = {other}",
    "kind = 'restore'",
    "token = 99",
    "started_at = 1",
    "id = 4711",
    "outcome = 'triumph'",
    "purged_at = 1",  # it is served
]


def test_a_sealed_run_is_final(store: Store, stranger: Stranger) -> None:
    fence = published(store)
    other = events.add_event(store, generations.SLUG, "7004")
    for change in EDITS:
        stranger.refuses(f"UPDATE run SET {change.format(other=other.id)} WHERE id = {fence.run_id}")


def test_an_unsealed_run_keeps_its_event_and_token(store: Store, stranger: Stranger) -> None:
    fence = begin(store)
    other = events.add_event(store, generations.SLUG, "7004")
    stranger.refuses(f"UPDATE run SET event_id = {other.id} WHERE id = {fence.run_id}")
    stranger.refuses(f"UPDATE run SET token = token + 1 WHERE id = {fence.run_id}")


def test_a_sealed_run_cannot_be_deleted(store: Store, stranger: Stranger) -> None:
    stranger.refuses(f"DELETE FROM run WHERE id = {published(store).run_id}")


WRONG_MANIFESTS = [
    ("race_count = 2", "race_count = 1"),
    ("result_count = 4", "result_count = 5"),
    ("lap_count = 8", "lap_count = 9"),
    ("lap_ms_sum = 316400", "lap_ms_sum = 316401"),
    ("entry_count = 2", "entry_count = 0"),
    ("document_sha256 = 'x', ", ""),
    ("lap_count = 8,", ""),
]


def test_a_wrong_manifest_does_not_seal(store: Store, stranger: Stranger) -> None:
    fence = unsealed_rows(store)
    for right, wrong in WRONG_MANIFESTS:
        assert right in SEAL
        stranger.refuses(SEAL.replace(right, wrong).format(run=fence.run_id))
    stranger.allows(SEAL.format(run=fence.run_id))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM lap WHERE lap_number = 2 AND result_id = (SELECT MAX(id) FROM result)",
        "UPDATE lap SET lap_time_ms = 1 WHERE lap_number = 1 AND result_id = (SELECT MIN(id) FROM result)",
        "DELETE FROM entry WHERE row_number = 1",
        "DELETE FROM event_header",
    ],
)
def test_a_run_with_damaged_rows_is_not_sealed(store: Store, stranger: Stranger, damage: str) -> None:
    fence = unsealed_rows(store)
    stranger.allows(damage)
    stranger.refuses(SEAL.format(run=fence.run_id))


def test_sealing_a_missing_lap_through_the_service(store: Store) -> None:
    fence = begin(store)
    with pytest.raises(StoreError) as refused, store.write():
        manifest = publish.insert_rows(store, fence.run_id, document())
        store.sql("DELETE FROM lap WHERE lap_number = 2 AND result_id = (SELECT MAX(id) FROM result)")
        publish.seal(store, fence.run_id, manifest, "x", None)
    assert refused.value.kind is Kind.DB_REFUSED
    assert "manifest" in refused.value.message
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM race") == [(0,)]


# ---------------------------------------------------------------- rows of a sealed run

IN_SEALED = {
    "race": ("class_name = 'other'", "id = {race}"),
    "result": ("driver_name = 'other'", "id = {result}"),
    "lap": ("lap_time_ms = lap_time_ms + 1", "result_id = {result} AND lap_number = 1"),
    "entry": ("driver_name = 'other'", "id = {entry}"),
    "event_header": ("event_name = 'other'", "run_id = {run}"),
}
MOVES = [
    "UPDATE race SET run_id = {run} WHERE id = {open_race}",
    "UPDATE result SET race_id = {race} WHERE id = {open_result}",
    "UPDATE lap SET result_id = {result}, lap_number = 99 WHERE result_id = {open_result} AND lap_number = 1",
    "UPDATE entry SET run_id = {run} WHERE id = {open_entry}",
    "UPDATE race SET id = 4711 WHERE id = {open_race}",
    "UPDATE result SET id = 4711 WHERE id = {open_result}",
    "UPDATE entry SET id = 4711 WHERE id = {open_entry}",
]


def test_rows_of_a_sealed_run_are_final(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    for table, insert in INTO_SEALED.items():
        change, where = IN_SEALED[table]
        stranger.refuses(insert.format(**known))
        stranger.refuses(f"UPDATE {table} SET {change} WHERE {where}".format(**known))
        stranger.refuses(f"DELETE FROM {table} WHERE {where}".format(**known))


def test_rows_cannot_be_moved_into_a_sealed_run_or_under_another_id(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    for move in MOVES:
        stranger.refuses(move.format(**known))


def test_rows_of_an_unsealed_run_can_be_mended(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    stranger.allows("UPDATE lap SET lap_time_ms = 1 WHERE result_id = {open_result}".format(**known))
    stranger.allows("DELETE FROM lap WHERE result_id = {open_result}".format(**known))


def test_a_lap_needs_a_result_and_a_result_stays_while_it_has_laps(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    stranger.refuses("INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES (999999, 1, 1, 1)")
    stranger.refuses("DELETE FROM result WHERE id = {open_result}".format(**known))


# ---------------------------------------------------------------- the purge, the one door out

PURGE = [
    """DELETE FROM lap
       WHERE result_id IN (SELECT result.id FROM result JOIN race ON race.id = race_id WHERE run_id = {run})""",
    "DELETE FROM result WHERE race_id IN (SELECT id FROM race WHERE run_id = {run})",
    "DELETE FROM race WHERE run_id = {run}",
    "DELETE FROM entry WHERE run_id = {run}",
    "DELETE FROM event_header WHERE run_id = {run}",
]
PERMIT = "INSERT INTO purge_permit (run_id, reason) VALUES ({run}, 'old')"


def test_a_served_run_cannot_be_purged(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    stranger.refuses(PERMIT.format(**known))
    stranger.refuses(PERMIT.format(run=known["open_run"]), f"UPDATE purge_permit SET run_id = {known['run']}")


def test_a_purge_removes_an_old_generation_and_it_is_never_served_again(store: Store, stranger: Stranger) -> None:
    old = published(store)
    new = published(store)
    purge = [statement.format(run=old.run_id) for statement in PURGE]
    stranger.refuses(*purge)
    stranger.allows(PERMIT.format(run=old.run_id), *purge, f"DELETE FROM purge_permit WHERE run_id = {old.run_id}")
    stranger.refuses(f"UPDATE event SET current_run_id = {old.run_id} WHERE id = {old.event_id}")
    stranger.refuses(f"UPDATE run SET purged_at = NULL WHERE id = {old.run_id}")
    run = runs.get_run(store, old.run_id)
    assert run is not None
    assert run.purged_at is not None
    assert export.load_event(store, new.event_id) == document()
    with pytest.raises(StateError) as refused:
        export.load_event(store, old.event_id, old.run_id)
    assert refused.value.kind is Kind.NOTHING_TO_EXPORT


def test_a_permit_opens_only_its_own_run(store: Store, stranger: Stranger) -> None:
    first, second = published(store), published(store)
    published(store)
    purge_second = [statement.format(run=second.run_id) for statement in PURGE]
    stranger.refuses(PERMIT.format(run=first.run_id), *purge_second)


def test_even_a_purge_does_not_edit(store: Store, stranger: Stranger) -> None:
    old = published(store)
    published(store)
    stranger.refuses(PERMIT.format(run=old.run_id), f"UPDATE race SET class_name = 'other' WHERE run_id = {old.run_id}")


# ---------------------------------------------------------------- ledgers


REWRITES = [
    "UPDATE lease SET token = token - 1",
    "UPDATE lease SET token = 0",
    "UPDATE lease SET event_id = 4711",
    "DELETE FROM lease",
    "UPDATE transition SET to_state = 'complete'",
    "DELETE FROM transition",
    "DELETE FROM journal",
    "UPDATE journal SET message = 'other'",
    "UPDATE journal SET message = 'other', acknowledged_at = 1, acknowledged_by = 'me'",
    "UPDATE journal SET id = 4711, acknowledged_at = 1",
]


def test_ledgers_are_append_only(store: Store, stranger: Stranger) -> None:
    published(store)
    stranger.run(
        "INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'warning', 'warning', 'n', 'm')"
    )
    for rewrite in REWRITES:
        stranger.refuses(rewrite)


def test_a_journal_entry_is_acknowledged_once(store: Store, stranger: Stranger) -> None:
    stranger.run(
        "INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'warning', 'warning', 'n', 'm')"
    )
    stranger.allows("UPDATE journal SET acknowledged_at = 5, acknowledged_by = 'me'")
    stranger.refuses("UPDATE journal SET acknowledged_at = 6, acknowledged_by = 'you'")
    stranger.refuses("UPDATE journal SET acknowledged_at = NULL, acknowledged_by = NULL")
