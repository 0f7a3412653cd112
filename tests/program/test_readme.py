"""README.md says what is there: its commands parse, its tables hold every exit code, setting and page type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mre_console.cli.main import COMMANDS, hoist, run
from mre_console.settings import load_settings
from pipeline.errors import TABLE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its two header lines."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def _commands() -> list[str]:
    """Every `mre …` line of the tour."""
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("mre ")]


@pytest.mark.parametrize("line", _commands())
def test_every_line_of_the_tour_names_a_command_and_options_that_exist(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, words = hoist(shlex.split(line)[1:])
    path = [word for word in words if re.fullmatch("[a-z][a-z-]*", word)][:2]
    assert path[0] in COMMANDS
    assert run([*path, "--help"]) == 0
    help_text = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert f"{option} " in help_text


def test_the_events_of_the_tour_are_what_the_simulator_serves_by_default() -> None:
    from mre_console.simulator.generate import World
    from mre_console.simulator.site import SimulatedSite

    site = SimulatedSite(World())
    named = dict(re.findall(r"^mre ingest ([a-z]+)/(\d+)$", README, flags=re.MULTILINE))
    assert named.keys() == {"dustden", "quarrybendrcpark"}
    assert set(named.items()) <= set(site.events())
    assert site.failure(named["dustden"]) is None
    assert f"`{site.failure(named['quarrybendrcpark'])}`" in README


def test_every_command_is_in_the_table() -> None:
    described = " ".join(row[0] for row in _rows("Commands"))
    for name in COMMANDS:
        assert f"mre {name}" in described


def test_every_exit_code_is_in_the_table() -> None:
    codes = {int(row[0]) for row in _rows("Exit codes")}
    assert {rule.exit_code for rule in TABLE.values()} <= codes
    assert codes == {*range(11), 74, 130, 141}


def test_every_setting_is_in_the_table(tmp_path: Path) -> None:
    settings = load_settings(environ={"MRE_CONFIG": str(tmp_path / "none.toml")})
    rows = {row[2]: row for row in _rows("Settings")}
    assert set(rows) == {setting.name for setting in settings.shown()}
    for name, row in rows.items():
        assert row[0] == "--" + name.replace("_", "-")
        assert row[1] == f"MRE_{name.upper()}"
    assert rows["crawl_delay"][3] == str(settings.crawl_delay)


def test_every_page_type_that_has_a_contract_is_listed() -> None:
    section = README.split("\n## Page types\n")[1].split("\n## ")[0]
    for contract in (ROOT / "pipeline" / "liverc" / "contracts").glob("*.toml"):
        assert contract.stem.replace("_result", " result").replace("_", " ") in section


@pytest.mark.parametrize("target", ["test", "demo", "demo-headless"])
def test_every_make_target_it_names_is_there(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_ci_runs_the_command_that_people_run() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
