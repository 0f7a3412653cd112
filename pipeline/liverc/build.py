"""Which readers these are: a short hash over the contracts and the code that applies them.

Stored with every run and fixture result, so that a person can tell which build published what, and go back before it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files

READER_MODULES = ("contract", "converters", "extract", "lapscript", "markup", "readers", "urls")
HASH_DIGITS = 12


@lru_cache(maxsize=1)
def parser_build() -> str:
    """The hash of this program's readers; equal for equal files, whatever machine or Python runs them."""
    package = files("pipeline.liverc")
    sources = [package / f"{name}.py" for name in READER_MODULES]
    contracts = sorted((package / "contracts").iterdir(), key=lambda file: file.name)
    digest = hashlib.sha256()
    for file in (*sources, *(file for file in contracts if file.name.endswith(".toml"))):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:HASH_DIGITS]
