"""Which readers read: a short hash over contracts and reader code, stored with every run and fixture result."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

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
