"""What is asked of a person before something is taken from somebody: only at a terminal, always on stderr."""

from __future__ import annotations

import sys

import typer

from pipeline.errors import Kind, StateError


def at_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """A line of text."""
    return str(typer.prompt(question, err=True)).strip()


def require_yes(question: str) -> None:
    """Go on only if the answer is yes; no is the default. Raises StateError INTERRUPTED."""
    if not typer.confirm(question, default=False, err=True):
        raise StateError(Kind.INTERRUPTED, "Nothing was changed.", remedy="Say yes, or add --yes.")
