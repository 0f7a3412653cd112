"""Asking for a failure, and what kind it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.errors import Kind, PipelineError


def kind_of(action: Callable[[], object]) -> tuple[Kind, str]:
    """The kind and message of the pipeline's error that the action raises."""
    with pytest.raises(PipelineError) as failure:
        action()
    return failure.value.kind, failure.value.message
