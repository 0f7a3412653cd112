"""Fixtures for every test: fresh databases on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pipeline.store.database import Store
from tests.support.databases import ENGINES, PostgresqlServer, SqliteFiles, start_postgresql

NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    server = start_postgresql()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=ENGINES, ids=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The database engine of this run of the test."""
    return str(request.param)


@pytest.fixture
def new_database(engine: str, request: pytest.FixtureRequest) -> Iterator[NewDatabase]:
    """Makes databases on the engine and returns their URLs; with `empty=True` they have no tables."""
    server: SqliteFiles | PostgresqlServer = request.getfixturevalue(
        "postgresql_server" if engine == "postgresql" else "sqlite_files"
    )
    made: list[str] = []

    def make(*, empty: bool = False) -> str:
        made.append(server.url(empty=empty))
        return made[-1]

    yield make
    for url in made:
        server.drop(url)


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """A fresh database with our tables."""
    return new_database()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A fresh, open database; the test runs once per engine."""
    opened = Store.open(database_url)
    yield opened
    opened.close()
