"""Which readers read: a short hash over contracts and reader code, stored with every run and fixture result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

_READER_CODE = (
    "contract.py",
    "converters.py",
    "extract.py",
    "lapscript.py",
    "literals.py",
    "markup.py",
    "readers.py",
    "urls.py",
)


@cache
def parser_build() -> str:
    """12 hexadecimal digits that change with any contract or any line of the reader code, and with nothing else."""
    room = resources.files("pipeline.liverc")
    contracts = sorted(file.name for file in room.joinpath("contracts").iterdir() if file.name.endswith(".toml"))
    digest = hashlib.sha256()
    for name in (*_READER_CODE, *(f"contracts/{contract}" for contract in contracts)):
        content = room.joinpath(*name.split("/")).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def build_of(additions: Mapping[str, Mapping[str, Any]]) -> str:
    """The build of the shipped readers with accepted additions (page type → alternatives); without any, their own."""
    if not additions:
        return parser_build()
    added = json.dumps(additions, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{parser_build()}\n{added}".encode()).hexdigest()[:12]
