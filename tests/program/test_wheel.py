"""The built wheel is complete: installed like a user would, it runs from another folder without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Installation:
    """A virtual environment that holds the wheel and borrows the running one's dependencies, but not its checkout."""

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = scripts / "python"
        self.mre = scripts / "mre"
        self.elsewhere = elsewhere
        # A folder on PYTHONPATH does not get its .pth files read: an editable install of the checkout stays out.
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MRE_")},
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "MRE_CONFIG": str(elsewhere / "config.toml"),
            "MRE_DATA": str(elsewhere / "data"),
        }

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, cwd=self.elsewhere, env=self.environ, check=True, capture_output=True, text=True)
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    installation = Installation(folder, tmp_path_factory.mktemp("elsewhere"))
    pip = [sys.executable, "-m", "pip", "--python", str(installation.python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    return installation


def test_the_program_runs_from_another_folder(installed: Installation) -> None:
    assert installed.run(installed.mre, "--version").startswith("mre 0.")
    shown = json.loads(installed.run(installed.mre, "config", "show", "--json"))
    assert shown["settings"]["data"] == {"value": str(installed.elsewhere / "data"), "source": "MRE_DATA"}


def test_the_program_that_ran_is_the_installed_one(installed: Installation) -> None:
    code = "import mre_console, pipeline, screens; print(mre_console.__file__, pipeline.__file__, screens.__file__)"
    for file in installed.run(installed.python, "-c", code).split():
        assert not Path(file).is_relative_to(ROOT)


def test_a_database_can_be_made_with_the_migrations_that_came_along(installed: Installation) -> None:
    installed.run(installed.mre, "db", "upgrade")
    assert installed.run(installed.mre, "db", "info", "--json")


def test_the_checks_replay_the_page_sets_that_came_along(installed: Installation) -> None:
    report = json.loads(installed.run(installed.mre, "checks", "--json"))
    assert (report["passed"], report["skipped"]) == (True, {})
    assert {"regression", "determinism"} <= report["checks"].keys()


def test_the_fixtures_came_along_whole(installed: Installation) -> None:
    code = "from mre_console.settings import shipped_fixtures; print(shipped_fixtures())"
    shipped = Path(installed.run(installed.python, "-c", code).strip())
    assert not shipped.is_relative_to(ROOT)
    here = {path.relative_to(ROOT / "fixtures"): path.read_bytes() for path in _tracked("fixtures")}
    there = {path.relative_to(shipped): path.read_bytes() for path in shipped.rglob("*") if path.is_file()}
    assert there == here


def test_the_wheel_holds_every_file_of_its_packages(installed: Installation) -> None:
    """Contracts, style sheets and migrations are data files that an import would not miss before it is too late."""
    code = "import pipeline; print(pipeline.__path__[0])"
    site = Path(installed.run(installed.python, "-c", code).strip()).parent
    missing = [
        path for path in _tracked("mre_console", "pipeline", "screens") if not (site / path.relative_to(ROOT)).is_file()
    ]
    assert missing == []


def _tracked(*folders: str) -> list[Path]:
    """The files below `folders`, without what running Python leaves there."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]
