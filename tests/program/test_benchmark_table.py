"""`make bench` fails when a limit is passed, a value is missing, or a benchmark dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as bench


def test_each_value_is_held_against_its_limit() -> None:
    rows = bench.rows_of({"values": {"fast": 1.5, "slow": 2.5, "free": 9.0}, "limits": {"fast": 2.0, "slow": 2.0}})
    assert [(row.name, row.verdict) for row in rows] == [("fast", "ok"), ("slow", "OVER"), ("free", "")]


def test_a_limit_without_a_value_is_a_failure() -> None:
    (row,) = bench.rows_of({"values": {}, "limits": {"forgotten": 1.0}})
    assert row.verdict == "FAILED"


def test_the_table_shows_value_limit_and_verdict() -> None:
    lines = bench.render([bench.Row("page ÷ bare", 1.234, 2.0), bench.Row("dead", None, None)]).splitlines()
    assert lines[1].split() == ["page", "÷", "bare", "1.23", "≤", "2", "ok"]
    assert lines[2].split() == ["dead", "-", "-", "FAILED"]


@pytest.mark.parametrize(
    ("body", "verdicts", "code"),
    [
        ("def run():\n    print('noise')\n    return {'x': 1.0}\nLIMITS = {'x': 2.0}", ["ok"], 0),
        ("def run():\n    return {'x': 3.0}\nLIMITS = {'x': 2.0}", ["OVER"], 1),
        ("def run():\n    raise ValueError('broken')", ["FAILED"], 1),
    ],
)
def test_a_module_is_measured_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, verdicts: list[str], code: int
) -> None:
    (tmp_path / "bench_probe.py").write_text(body)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "modules", lambda _: ["bench_probe"])
    assert [row.verdict for row in bench.measure("bench_probe")] == verdicts
    assert bench.main([]) == code


def test_modules_are_found_by_name() -> None:
    assert "benchmarks.bench_start" in bench.modules()
    assert bench.modules(["start"]) == ["benchmarks.bench_start"]
