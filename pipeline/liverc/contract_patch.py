"""An accepted addition as a patch to the shipped contract file, for whoever makes the next release.

Alternatives are written into the file's own text, so that comments and layout stay; the patched text must mean exactly
what the addition makes of the contract, or there is no patch.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.liverc.contract import ContractError, contract_source, merge_alternatives
from pipeline.liverc.urls import PageType

LINE_LENGTH = 120


def unified_patch(page_type: str, addition: Mapping[str, Any]) -> str:
    """A unified diff against the shipped file, as `git apply` takes it. Raises `ContractError`."""
    before = contract_source(PageType(page_type)).decode()
    merged = merge_alternatives(tomllib.loads(before), addition, page_type)
    lines = before.splitlines()
    for section, key in _leaves(addition):
        lines = _with_value(lines, section, key, _at(merged, (*section, key)))
    after = "\n".join(lines) + "\n"
    if tomllib.loads(after) != merged:
        raise ContractError(f"{page_type}: the addition cannot be written into the contract's file")
    path = f"pipeline/liverc/contracts/{page_type}.toml"
    diff = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(diff)


def _leaves(addition: Mapping[str, Any], section: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in addition.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*section, key))
        else:
            yield section, key


def _at(data: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = data
    for step in path:
        value = value[step]
    return value


def _with_value(lines: list[str], section: tuple[str, ...], key: str, value: Any) -> list[str]:
    """The file's lines with `key` of a section set to `value`; a section or key that is not there is added."""
    begin = _section_start(lines, section)
    if begin is None:
        return [*lines, "", f"[{'.'.join(section)}]", *_rendered(key, value)]
    end = next((at for at in range(begin, len(lines)) if lines[at].startswith("[")), len(lines))
    for at in range(begin, end):
        if lines[at].partition("=")[0].strip() == key and "=" in lines[at]:
            return [*lines[:at], *_rendered(key, value), *lines[_value_end(lines, at, end) :]]
    while end > begin and not lines[end - 1].strip():
        end -= 1  # before the blank line that parts it from the next section
    return [*lines[:end], *_rendered(key, value), *lines[end:]]


def _section_start(lines: list[str], section: tuple[str, ...]) -> int | None:
    if not section:
        return 0
    header = f"[{'.'.join(section)}]"
    return next((at + 1 for at, line in enumerate(lines) if line.split("#")[0].strip() == header), None)


def _value_end(lines: list[str], begin: int, end: int) -> int:
    """The line after a value that may take several."""
    for stop in range(begin + 1, end + 1):
        try:
            tomllib.loads("\n".join(lines[begin:stop]))
        except tomllib.TOMLDecodeError:
            continue
        return stop
    return end


def _rendered(key: str, value: Any) -> list[str]:
    items = [_text(item) for item in value] if isinstance(value, list) else None
    if items is None:
        return [f"{key} = {_text(value)}"]
    line = f"{key} = [{', '.join(items)}]"
    return [line] if len(line) <= LINE_LENGTH else [f"{key} = [", *(f"  {item}," for item in items), "]"]


def _text(value: Any) -> str:
    if isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"  # as the shipped files write regular expressions
    return json.dumps(value, ensure_ascii=False)
