"""The house's walls as data, and a reader of imports that finds who walks through them.

Imports are read from the source, so one inside a function, under TYPE_CHECKING or through `import_module("…")` counts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOMS = ("pipeline", "screens", "mre_console")


class Wall(NamedTuple):
    """Modules below `inside` (but not below `except_in`) must not import any of `forbidden`."""

    inside: str
    forbidden: tuple[str, ...]
    except_in: tuple[str, ...] = ()


WALLS = (
    Wall("pipeline", ("textual", "screens", "mre_console")),
    Wall("screens", ("mre_console",)),
    *(Wall(room, ("lxml", "httpx", "chompjs", "playwright", "protego"), ("pipeline.liverc",)) for room in ROOMS),
    *(Wall(room, ("peewee", "playhouse", "pysqlite3", "sqlite3", "psycopg"), ("pipeline.store",)) for room in ROOMS),
    *(Wall(room, ("tests", "benchmarks")) for room in ROOMS),
)


class Import(NamedTuple):
    """`module` imports `target` on `line`."""

    module: str
    target: str
    line: int


def _below(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def module_name(path: Path, root: Path) -> str:
    """`pipeline/store/__init__.py` → `pipeline.store`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import in one file, with relative ones resolved."""
    module = module_name(path, root)
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(module, source, node.lineno)
            yield from (Import(module, f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(module, node.args[0].value, node.lineno)


def all_imports(root: Path) -> list[Import]:
    """Every import of every module of the house."""
    files = sorted(path for room in ROOMS for path in (root / room).rglob("*.py"))
    return [found for path in files for found in imports_of(path, root)]


def violations(root: Path) -> list[str]:
    """One line for each import that goes through a wall, empty where all is well."""
    found = {
        f"{one.module}:{one.line} imports {one.target}"
        for one in all_imports(root)
        for wall in WALLS
        if _below(one.module, wall.inside)
        and not any(_below(one.module, room) for room in wall.except_in)
        and any(_below(one.target, name) for name in wall.forbidden)
    }
    return sorted(found)
