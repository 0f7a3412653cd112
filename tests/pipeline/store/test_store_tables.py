"""The models say what the migrations made: same tables, columns, null-ness, keys and indexes, on both engines."""

from __future__ import annotations

import inspect

import pytest

from pipeline.store import models
from pipeline.store.database import Store
from tests.support.generations import document, published

MODELS = sorted(
    (
        model
        for _, model in inspect.getmembers(models, inspect.isclass)
        if issubclass(model, models.Table) and model is not models.Table
    ),
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_is_its_table(store: Store, model: type[models.Table]) -> None:
    meta = model._meta
    with store.read():
        columns = {column.name: column for column in store.db.get_columns(meta.table_name)}
        keys = set(store.db.get_primary_keys(meta.table_name))
        indexes = {
            (tuple(index.columns), bool(index.unique))
            for index in store.db.get_indexes(meta.table_name)
            if None not in index.columns and tuple(index.columns) != tuple(sorted(keys))
        }
    assert list(columns) == [field.column_name for field in meta.sorted_fields]
    primary = [field.column_name for field in meta.get_primary_keys()]
    assert keys == set(primary)
    for field in meta.sorted_fields:
        if field.column_name not in primary:
            assert columns[field.column_name].null == bool(field.null), field.name
    declared = {(tuple(meta.fields[name].column_name for name in names), unique) for names, unique in meta.indexes}
    missing = declared - indexes
    assert not missing


def test_every_table_has_a_model(store: Store) -> None:
    with store.read():
        tables = {table for table in store.db.get_tables() if not table.startswith(("sqlite_", "schema_"))}
    assert tables == {model._meta.table_name for model in MODELS}


def test_words_of_the_models_are_those_the_database_knows(store: Store) -> None:
    with store.read():
        if store.engine == "sqlite":
            made = " ".join(sql for (sql,) in store.sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
        else:
            made = " ".join(
                text for (text,) in store.sql("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'")
            )
    for word in (*models.STATES, *models.DEPTHS, *models.RUN_KINDS, *models.OUTCOMES):
        assert f"'{word}'" in made


def test_views_show_the_served_generation_only(store: Store) -> None:
    published(store)
    published(store)
    other = published(store, "7001")
    served = document()
    races = len(served.races)
    results = sum(len(race.results) for race in served.races)
    laps = sum(len(result.laps) for race in served.races for result in race.results)
    expected = {"served_race": races, "served_result": results, "served_lap": laps, "served_entry": 2}
    with store.read():
        for view, count in expected.items():
            assert store.sql(f"SELECT COUNT(*) FROM {view}") == [(2 * count,)]
            assert store.sql(f"SELECT COUNT(*) FROM {view} WHERE event_id = ?", other.event_id) == [(count,)]
            assert store.sql(f"SELECT DISTINCT run_id FROM {view} WHERE event_id = ?", other.event_id) == [
                (other.run_id,)
            ]
