"""The journal: appended in order, warnings open until a person acknowledges them."""

from __future__ import annotations

from pipeline.store import journal
from pipeline.store.database import Store
from pipeline.store.journal import JournalEntry
from tests.support.generations import begin


def lines(count: int, **facts: object) -> list[JournalEntry]:
    return [JournalEntry(name="line", message=str(number), **facts) for number in range(count)]  # type: ignore[arg-type]


def test_a_runs_log_in_order_and_in_pieces(store: Store) -> None:
    fence = begin(store)
    journal.append_fenced(store, fence, lines(250, run_id=fence.run_id, event_id=fence.event_id, severity="debug"))
    journal.append(store, lines(3))
    rows = journal.for_run(store, fence.run_id)
    assert [row.message for row in rows] == [str(number) for number in range(250)]
    assert journal.for_run(store, fence.run_id, limit=100) == rows[:100]
    assert journal.for_run(store, fence.run_id, after_id=rows[99].id) == rows[100:]
    assert journal.for_run(store, fence.run_id, severities=["error"]) == ()
    assert journal.for_event(store, fence.event_id, limit=10) == rows[-10:]
    assert [row.message for row in journal.recent(store, limit=2)] == ["1", "2"]
    assert [row.message for row in journal.recent(store, after_id=rows[-1].id)] == ["0", "1", "2"]
    assert all(row.at <= store.clock_ms() for row in rows)


def test_nothing_to_append(store: Store) -> None:
    journal.append(store, [])
    assert journal.recent(store) == ()


def test_an_entry_comes_back_as_it_was(store: Store) -> None:
    entry = JournalEntry(
        entry_kind="audit",
        severity="warning",
        name="lock_cleared",
        message="Ein 'Satz' mit \"Zeichen\": 100 % ÄÖ",
        event_id=7,
        run_id=9,
        fields='{"reason": "x"}',
    )
    journal.append(store, [entry])
    (row,) = journal.recent(store)
    assert {name: getattr(row, name) for name in JournalEntry.__struct_fields__} == {
        name: getattr(entry, name) for name in JournalEntry.__struct_fields__
    }


def test_a_warning_is_open_until_acknowledged_once(store: Store) -> None:
    journal.append(store, [*lines(2, entry_kind="warning", severity="warning"), *lines(1)])
    newest, oldest = journal.open_warnings(store)
    assert (newest.message, oldest.message) == ("1", "0")
    assert journal.acknowledge(store, oldest.id, "ann")
    assert not journal.acknowledge(store, oldest.id, "bob")
    assert [row.id for row in journal.open_warnings(store)] == [newest.id]
    seen = next(row for row in journal.recent(store) if row.id == oldest.id)
    assert seen.acknowledged_by == "ann"
    assert seen.acknowledged_at is not None
    log = journal.recent(store)[-1]
    assert not journal.acknowledge(store, log.id, "ann")
