"""The walls of the house hold: in the source of every module, and in what a process really loads."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.boundaries import ROOMS, all_imports, violations

ROOT = Path(__file__).parent.parent

IMPORT_NAMES = {  # where that differs from the package's name
    "concurrent-log-handler": "concurrent_log_handler",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "textual-plot": "textual_plot",
}
PROVIDED = {
    "playhouse": "peewee",
    "httpcore": "httpx",
    "starlette": "fastapi",
    "pydantic": "fastapi",
    "rich": "textual",
}
LOADED_BY_NAME = {"psycopg", "pysqlite3"}  # peewee picks them up by itself


def test_no_module_walks_through_a_wall() -> None:
    assert violations(ROOT) == []


PLANTED = [
    ("pipeline/bad.py", "import textual", "pipeline.bad:1 imports textual"),
    ("pipeline/liverc/bad.py", "from mre_console import settings", "pipeline.liverc.bad:1 imports mre_console"),
    ("pipeline/bad.py", "def f():\n    from screens.widgets import x", "pipeline.bad:2 imports screens.widgets"),
    ("pipeline/bad.py", "import importlib\nimportlib.import_module('screens')", "pipeline.bad:2 imports screens"),
    ("pipeline/bad.py", "from lxml import etree", "pipeline.bad:1 imports lxml"),
    ("pipeline/store/bad.py", "import httpx", "pipeline.store.bad:1 imports httpx"),
    ("pipeline/liverc/bad.py", "from peewee import Model", "pipeline.liverc.bad:1 imports peewee"),
    (
        "screens/bad.py",
        "if TYPE_CHECKING:\n    from mre_console.app import App",
        "screens.bad:2 imports mre_console.app",
    ),
    ("mre_console/cli/bad.py", "import playhouse.migrations", "mre_console.cli.bad:1 imports playhouse.migrations"),
    ("screens/widgets/bad.py", "from ...mre_console import app", "screens.widgets.bad:1 imports mre_console"),
]


@pytest.mark.parametrize(("path", "source", "complaint"), PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert complaint in violations(tmp_path)


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    allowed = {
        "pipeline/liverc/client.py": "import httpx\nfrom lxml import etree\nfrom pipeline import errors",
        "pipeline/store/engine.py": "import peewee\nimport sqlite3",
        "screens/home.py": "import textual\nfrom pipeline import service\nimport screens_of_death",
        "mre_console/app.py": "from screens import home\nfrom . import settings",
    }
    for path, source in allowed.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    assert violations(tmp_path) == []


# Imports every module of a package, then prints which of the named ones the process holds.
_LOAD_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


def _loaded(folder: Path, package: str, *names: str) -> list[str]:
    command = [sys.executable, "-c", _LOAD_ALL, package, *names]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()


def test_loading_the_whole_pipeline_loads_no_user_interface() -> None:
    assert _loaded(ROOT, "pipeline", "textual", "screens", "mre_console", "typer") == []


def test_loading_every_screen_does_not_load_the_program() -> None:
    assert _loaded(ROOT, "screens", "mre_console") == []


def test_the_load_check_sees_a_planted_import(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "screens.py").touch()
    (tmp_path / "pipeline" / "__init__.py").touch()
    (tmp_path / "pipeline" / "sly.py").write_text("__import__('scr' + 'eens')")  # nothing that a reader of source sees
    assert violations(tmp_path) == []
    assert _loaded(tmp_path, "pipeline", "screens") == ["screens"]


def _declared() -> set[str]:
    """The import name of every dependency of the program, extras included, those of its development not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["api"], *extras["otel"], *extras["postgres"]]
    names = {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in requirements}
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_every_import_is_declared_and_every_dependency_is_used() -> None:
    used = {one.target.partition(".")[0] for one in all_imports(ROOT)}
    third_party = used - set(sys.stdlib_module_names) - set(ROOMS)
    needed = {PROVIDED.get(name, name) for name in third_party}
    declared = _declared()
    assert needed - declared == set(), "imported but not declared in pyproject.toml"
    unused = declared - needed - LOADED_BY_NAME
    assert unused == set(), "declared in pyproject.toml but never imported"
