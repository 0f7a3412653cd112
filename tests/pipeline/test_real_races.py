"""The real race pages prove themselves: nothing to complain about as served, every corruption noticed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from pipeline import document
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url
from pipeline.records import RacePage
from pipeline.validate import check_race_page
from tests.support.real_pages import REAL, needs_real_pages

pytestmark = needs_real_pages
RACES = ("6304822", "6304822.2025-12", "6304829")


def real_race(name: str) -> RacePage:
    race_id = name.partition(".")[0]
    url = f"https://canberraoffroad.liverc.com/results/?p=view_race_result&id={race_id}"
    page = read_page((REAL / "pages" / f"race.{name}.html").read_bytes(), parse_url(url))
    assert isinstance(page, RacePage)
    return page


@pytest.mark.parametrize("name", RACES)
def test_a_real_page_raises_no_alarm(name: str) -> None:
    assert check_race_page(real_race(name)) == ()


@pytest.mark.parametrize("name", RACES)
def test_a_real_race_is_what_the_truth_says(name: str, tmp_path: Path) -> None:
    parsed = tmp_path / "parsed.json"
    fields = document.parsed_as_json(real_race(name))
    parsed.write_bytes(msgspec.json.Encoder(decimal_format="number").encode(fields))
    compared = subprocess.run(
        [sys.executable, REAL / "compare.py", "parse", parsed, REAL / "truth" / f"race.{name}.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_two_captures_of_one_page_are_one_result() -> None:
    june, december = real_race("6304822"), real_race("6304822.2025-12")
    assert document.race_results(june) == document.race_results(december)


@pytest.mark.parametrize("name", RACES[1:])
def test_every_wrong_digit_and_every_lost_lap_of_a_real_page_is_reported(name: str) -> None:
    page = real_race(name)
    drawn = random.Random(name)
    places = [(racer, lap) for racer, block in enumerate(page.racers) for lap in range(1, len(block.laps))]
    for racer, lap in drawn.sample(places, 40):
        block = page.racers[racer]
        time = block.laps[lap].lap_time_ms
        wrong = structs.replace(block.laps[lap], lap_time_ms=time + drawn.choice((1, -1, 10, -100, 1000, 10_000)))
        for laps in ((*block.laps[:lap], wrong, *block.laps[lap + 1 :]), (*block.laps[:lap], *block.laps[lap + 1 :])):
            racers = (*page.racers[:racer], structs.replace(block, laps=laps), *page.racers[racer + 1 :])
            assert check_race_page(structs.replace(page, racers=racers)), (racer, lap, laps[lap - 1])
