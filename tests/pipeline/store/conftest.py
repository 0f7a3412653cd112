"""Fixtures for the store's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.store.database import Store
from tests.support.strangers import Stranger


@pytest.fixture
def stranger(store: Store) -> Iterator[Stranger]:
    """Another connection to the same database, with the driver's defaults."""
    connection = Stranger(store)
    yield connection
    connection.close()
