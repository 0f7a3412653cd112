"""Made-up events in a database: a small document, a run that holds its lease, a published generation."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from pipeline.records import Entry, Event, Lap, Race, Result
from pipeline.store import events, leases, publish, runs
from pipeline.store.database import Store
from pipeline.store.leases import Fence

SLUG = "harbourraceway"
EVENT_ID = "7000"
HOLDER = '{"host": "pit-lane", "pid": 4711}'
TTL_MS = 60_000


def result(position: int = 1, lap_times: tuple[int, ...] = (40_100, 39_000)) -> Result:
    """A driver's row whose laps add up."""
    laps = tuple(
        Lap(number, time, sum(lap_times[:number]), position, "17/10:28.285") for number, time in enumerate(lap_times, 1)
    )
    return Result(
        position=position,
        source_driver_id=str(100 + position),
        driver_name=f"DRIVER {position}",
        car_number=position,
        qualifying_position=position,
        laps_completed=len(laps),
        total_time_ms=sum(lap_times),
        behind=None if position == 1 else "2.104",
        fast_lap_ms=min(lap_times, default=None),
        fast_lap_number=1,
        avg_lap_ms=None,
        avg_top_5_ms=None,
        avg_top_10_ms=None,
        avg_top_15_ms=None,
        top_2_consecutive_ms=79_100,
        top_3_consecutive_ms=None,
        std_deviation_ms=550,
        consistency=Decimal("98.600"),
        grid_position=None,
        laps=laps,
    )


def document(races: int = 2, drivers: int = 2, event_id: str = EVENT_ID) -> Event:
    """A small event: two races of two drivers with two laps each, and an entry list."""
    return Event(
        source="liverc",
        source_event_id=event_id,
        track_slug=SLUG,
        event_name="Harbour Cup",
        start_date="2025-11-15",
        end_date="2025-11-16",
        entries=drivers,
        drivers=drivers,
        races=tuple(
            Race(
                source_race_id=str(9000 + order),
                class_name="Buggy",
                race_label="Buggy A-Main",
                round="Main Events",
                race_number=order,
                race_order=order,
                completed_at_local="2025-11-16T17:30:00",
                length_seconds=300,
                results=tuple(result(position) for position in range(1, drivers + 1)),
            )
            for order in range(1, races + 1)
        ),
        entry_list=(Entry("Buggy", 1, "DRIVER 1", "1234567"), Entry("Buggy", 2, "DRIVER 2", None)),
    )


def begin(store: Store, event_id: str = EVENT_ID) -> Fence:
    """An event in state running, with a run that holds its lease."""
    with store.write():
        event = events.add_event(store, SLUG, event_id)
        run_id = runs.insert_run(store, event.id, trigger="test", holder_json=HOLDER)
        token = leases.acquire(store, event.id, run_id, HOLDER, TTL_MS)
        assert token is not None
        if event.state == "failed":
            runs.transition(store, event.id, "idle")
        runs.transition(store, event.id, "running")
    return Fence(event.id, run_id, token)


def publish_rows(store: Store, fence: Fence, event: Event, sha256: str = "0" * 64) -> None:
    """The publishing transaction of a run, to the last arrow."""
    with store.write():
        leases.lock_fence(store, fence)
        manifest = publish.insert_rows(store, fence.run_id, event)
        publish.seal(store, fence.run_id, manifest, sha256, "build")
        publish.serve(store, fence.event_id, fence.run_id)
        runs.transition(store, fence.event_id, "complete")
        runs.finish_run(store, fence.run_id, "published")
        leases.release(store, fence)


def fail(store: Store, fence: Fence) -> None:
    """A run that ends as failed."""
    with store.write():
        leases.lock_fence(store, fence)
        runs.transition(store, fence.event_id, "failed")
        runs.finish_run(store, fence.run_id, "failed", error='{"message": "made to fail"}')
        leases.release(store, fence)


def published(store: Store, event_id: str = EVENT_ID) -> Fence:
    """An event that serves a sealed run."""
    fence = begin(store, event_id)
    publish_rows(store, fence, document(event_id=event_id))
    return fence


# ---------------------------------------------------------------- any event that a database must hold exactly

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_maybe_text = st.none() | _text
_milliseconds = st.integers(0, 2**31 - 1)
_maybe_milliseconds = st.none() | _milliseconds
_maybe_number = st.none() | st.integers(-1, 999)
_consistency = st.none() | st.integers(-100_000, 100_000).map(lambda milli: Decimal(milli).scaleb(-3))


def _laps() -> st.SearchStrategy[tuple[Lap, ...]]:
    parts = st.tuples(_milliseconds, _milliseconds, _maybe_number, _maybe_text)
    return st.lists(parts, max_size=4).map(lambda laps: tuple(Lap(number, *lap) for number, lap in enumerate(laps, 1)))


_results = st.builds(
    Result,
    position=st.integers(0, 99),
    source_driver_id=_maybe_text,
    driver_name=_text,
    car_number=_maybe_number,
    qualifying_position=_maybe_number,
    laps_completed=st.integers(0, 999),
    total_time_ms=_maybe_milliseconds,
    behind=_maybe_text,
    fast_lap_ms=_maybe_milliseconds,
    fast_lap_number=_maybe_number,
    avg_lap_ms=_maybe_milliseconds,
    avg_top_5_ms=_maybe_milliseconds,
    avg_top_10_ms=_maybe_milliseconds,
    avg_top_15_ms=_maybe_milliseconds,
    top_2_consecutive_ms=_maybe_milliseconds,
    top_3_consecutive_ms=_maybe_milliseconds,
    std_deviation_ms=_maybe_milliseconds,
    consistency=_consistency,
    grid_position=_maybe_number,
    laps=_laps(),
)


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    """Any document that the tables can hold: races in no particular order, empty results, odd texts."""
    order = draw(st.permutations(range(1, draw(st.integers(0, 3)) + 1)))
    races = tuple(
        Race(
            source_race_id=str(place),
            class_name=draw(_text),
            race_label=draw(_text),
            round=draw(_maybe_text),
            race_number=draw(_maybe_number),
            race_order=place,
            completed_at_local=draw(_maybe_text),
            length_seconds=draw(_maybe_number),
            results=tuple(draw(st.lists(_results, max_size=3))),
        )
        for place in order
    )
    entry = st.builds(Entry, class_name=_text, number=st.integers(0, 99), driver_name=_text, transponder=_maybe_text)
    return Event(
        source="liverc",
        source_event_id=draw(_text),
        track_slug=draw(_text),
        event_name=draw(_text),
        start_date=draw(_maybe_text),
        end_date=draw(_maybe_text),
        entries=draw(_maybe_number),
        drivers=draw(_maybe_number),
        races=races,
        entry_list=draw(st.none() | st.lists(entry, max_size=3).map(tuple)),
    )
