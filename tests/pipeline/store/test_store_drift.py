"""What the database itself holds of drift: cases walk few arrows and are history then; signals are a bounded window."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store import drift, migrations, signals
from pipeline.store.database import Store
from pipeline.store.signals import SignalRow
from tests.support.generations import published

OPENED = "INSERT INTO drift_case (page_type, opened_at, changed_at, reason, doubts) VALUES ('event', 1, 1, 'x', '[]')"
CLOSED = "closed_at = 5, closed_by = 'ann', closed_why = 'seen'"


def a_case(store: Store, page_type: str = "race_result", event_id: int | None = None) -> int:
    return drift.insert(
        store, page_type=page_type, event_id=event_id, run_id=None, field="behind", reason="it is gone", doubts="[]"
    )


def walk(store: Store, case_id: int, *states: str) -> None:
    for state in states:
        if state in ("repaired", "dismissed"):
            drift.finish(store, case_id, state, who="ann", why="seen")
        else:
            drift.update(store, case_id, state=state, verdict="said")


STATES = ("suspected", "confirmed", "event_only", "repaired", "dismissed")
WAYS_TO: dict[str, tuple[str, ...]] = {
    "suspected": (),
    "confirmed": ("confirmed",),
    "event_only": ("event_only",),
    "repaired": ("confirmed", "repaired"),
    "dismissed": ("dismissed",),
}
LEGAL = {
    ("suspected", "suspected"), ("suspected", "confirmed"), ("suspected", "event_only"), ("suspected", "dismissed"),
    ("confirmed", "confirmed"), ("confirmed", "repaired"), ("confirmed", "dismissed"),
    ("event_only", "event_only"), ("event_only", "confirmed"), ("event_only", "repaired"), ("event_only", "dismissed"),
}  # fmt: skip


def test_a_case_takes_the_legal_steps_and_no_others(store: Store) -> None:
    for before in STATES:
        for after in STATES:
            case_id = a_case(store)
            walk(store, case_id, *WAYS_TO[before])
            if (before, after) in LEGAL:
                walk(store, case_id, after)
            else:
                with pytest.raises(StoreError) as refused:
                    walk(store, case_id, after)
                assert refused.value.kind is Kind.DB_REFUSED, (before, after)
            case = drift.get(store, case_id)
            assert case is not None
            if case.closed_at is None:
                walk(store, case_id, "dismissed")  # makes room for the next one


REFUSED = [
    "UPDATE drift_case SET page_type = 'event'",
    "UPDATE drift_case SET event_id = NULL",
    "UPDATE drift_case SET opened_at = 7",
    "UPDATE drift_case SET state = 'dismissed'",
    "UPDATE drift_case SET state = 'dismissed', closed_at = 5, closed_by = 'ann'",
    f"UPDATE drift_case SET {CLOSED}",
    "UPDATE drift_case SET state = 'confirmed'",  # without a verdict
    "DELETE FROM drift_case",
    "DELETE FROM drift_case_event",
    "UPDATE drift_case_event SET at = 1",
    OPENED.replace("(page_type,", "(state, page_type,").replace("('event',", "('confirmed', 'event',"),
    OPENED.replace("'event'", "'race_result'"),  # one is undecided
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_itself_refuses(store: Store, statement: str) -> None:
    fence = published(store)
    case_id = a_case(store, event_id=fence.event_id)
    drift.add_event(store, case_id, fence.event_id, "failed", fence.run_id)
    before = drift.newest(store, open_only=False, limit=9), drift.events_of(store, case_id)
    with pytest.raises(StoreError) as refused, store.write():
        store.sql(statement)
    assert refused.value.kind is Kind.DB_REFUSED
    assert (drift.newest(store, open_only=False, limit=9), drift.events_of(store, case_id)) == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_replace_does_not_slip_past(store: Store) -> None:
    fence = published(store)
    case_id = a_case(store)
    drift.add_event(store, case_id, fence.event_id, "failed", None)
    for statement in (
        "REPLACE INTO drift_case SELECT * FROM drift_case",
        OPENED.replace("INSERT", "REPLACE").replace("'event'", "'race_result'"),
        "REPLACE INTO drift_case_event SELECT * FROM drift_case_event",
    ):
        with pytest.raises(StoreError), store.write():
            store.sql(statement)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["drift_case", "drift_case_event"])
def test_truncate_is_refused(store: Store, table: str) -> None:
    with pytest.raises(StoreError), store.write():
        store.sql(f"TRUNCATE {table} CASCADE")


def test_the_migration_goes_down_and_up_with_data(store: Store) -> None:
    fence = published(store)
    drift.add_event(store, a_case(store, event_id=fence.event_id), fence.event_id, "failed", fence.run_id)
    drift.add_canary(store, fence.event_id, "ann")
    signals.keep(store, [row("a", "event 1")])
    while "0005_drift" not in migrations.downgrade(store):
        pass
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM served_race") == [(2,)]
        assert not {"drift_case", "page_signal", "canary_event"} & set(store.db.get_tables())
    migrations.upgrade(store)
    assert drift.newest(store, open_only=False, limit=9) == ()
    walk(store, a_case(store), "confirmed", "repaired")


# ---------------------------------------------------------------- signals


def row(url: str, origin: str, page_type: str = "race_result") -> SignalRow:
    return SignalRow(
        page_type=page_type, url=url, origin=origin, run_id=None, parser_build="b", build_marker=None, digest="d",
        variant="", fields="{}",
    )  # fmt: skip


def kept(store: Store, page_type: str = "race_result") -> list[str]:
    return [one.url for one in signals.some(store, signals.ids(store, page_type))]


def test_signals_are_a_window_in_which_no_event_crowds_out_the_others(store: Store) -> None:
    signals.keep(store, [row(f"old{number}", f"event {number}") for number in range(signals.KEEP_SIGNALS)])
    signals.keep(store, [row("other", "event 1", "event")])
    signals.keep(store, [row(f"large{number}", "event large") for number in range(500)])
    urls = kept(store)
    assert len(urls) == signals.KEEP_SIGNALS
    assert sum(url.startswith("large") for url in urls) == signals.KEEP_OF_ORIGIN
    assert "old0" not in urls
    assert kept(store, "event") == ["other"]


def test_a_page_read_again_takes_the_place_of_what_was_known_of_its_event(store: Store) -> None:
    signals.keep(store, [row("a", "event 1"), row("b", "event 1"), row("c", "event 2")])
    signals.keep(store, [row("a", "event 1")])
    assert sorted(kept(store)) == ["a", "c"]


def test_structures_grow_and_the_longest_unseen_are_forgotten(store: Store) -> None:
    for number in range(signals.KEEP_STRUCTURES + 5):
        signals.learn_structure(store, "event", f"d{number:03}", ["= a"], "u", alerted=False)
    signals.learn_structure(store, "event", "d104", ["= a", "~ b"], "u", alerted=True)
    known = {one.digest: one.lines for one in signals.structures(store, "event")}
    assert len(known) == signals.KEEP_STRUCTURES
    assert known["d104"] == ("= a", "~ b")
