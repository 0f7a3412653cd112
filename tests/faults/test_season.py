"""A season in one process: new events on many tracks, through 429s, outages, corrections at the source, clock jumps.

In the end every event is what its truth is, was published no more often than its data changed, and neither caps nor
the distance between requests were ever broken. `make test` plays a short season, `make faults` a month on 20 tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.due import RecentOptions
from tests.faults.conftest import FAULTS
from tests.support.season import DELAY_S, Season

MONTH, SHORT = (20, 30, 3, 600.0), (4, 8, 4, 1_800.0)  # tracks, days, days between a track's events, seconds a tick
LOOKS = 9  # at an event, in all
JUMPS = 3  # of the clock, each of which may bring a further look
RecordCounts = Callable[[str, object], None]
ENGINES = ("sqlite", "postgresql") if FAULTS else ("sqlite",)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_a_season(database_url: str, engine: str, tmp_path: Path, record_property: RecordCounts) -> None:
    tracks, days, every_days, tick_s = MONTH if FAULTS and engine == "sqlite" else SHORT
    season = Season(database_url, tmp_path, tracks=tracks, days=days, every_days=every_days)
    for day in range(0, days, 10):
        hour = 24 * day
        season.set(season.transport, "busy_share", 0.05, hour=hour + 40, hours=30)
        season.set(season.transport, "away", True, hour=hour + 75.5, hours=7)
        season.set(season.clock, "ahead_s", 6 * 3600.0, hour=hour + 100, hours=5)  # forward, and back again
        season.set(season.clock, "ahead_s", -5 * 3600.0, hour=hour + 130, hours=4)  # back, and forward again
        season.set(season.clock, "ahead_s", 3 * 86_400.0, hour=hour + 150, hours=2)
        season.worker_dies(hour + 60)
    try:
        season.play(tick_s=tick_s)
        published = season.published()
        record_property(
            "counts",
            f"{len(season.events)} events, {season.runs()} runs, {published.total()} published of "
            f"{season.versions.total()} versions, {len(season.transport.began)} requests, of which "
            f"{season.transport.statuses[429]} were answered with 429 and {season.transport.statuses[0]} not at all",
        )
        assert season.wrong() == {}
        too_often = {event: count for event, count in published.items() if count > season.versions[event]}
        assert too_often == {}
        limits = RecentOptions()
        assert 0 < season.most_of_a_track <= limits.per_track
        assert season.most_wanted <= limits.per_run
        assert season.shortest_gap_s() >= DELAY_S - 1e-6
        assert season.service.wanted() == ()
        assert not season.service.locks()
        assert season.transport.statuses[429] > 0
        assert season.transport.statuses[0] > 0
        assert max(season.looks().values()) <= LOOKS + JUMPS
    finally:
        season.close()
