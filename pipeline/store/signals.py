"""What believed pages looked like lately, and every structure that pages of a type were seen in. SQL only.

Both are bounded: the newest `KEEP_SIGNALS` pages of each type, of one origin at most `KEEP_OF_ORIGIN`, so that one
large event does not push out what all others taught.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from msgspec import Struct

from pipeline.store.database import Store

KEEP_SIGNALS = 200
KEEP_OF_ORIGIN = 40
KEEP_STRUCTURES = 100


class SignalRow(Struct, frozen=True, kw_only=True):
    """One believed page."""

    page_type: str
    url: str
    origin: str  # what the page belongs to: pages of one event are no independent witnesses
    run_id: int | None
    parser_build: str
    build_marker: str | None
    digest: str
    variant: str
    fields: str  # JSON


class KeptRow(Struct, frozen=True):
    """What is compared of a remembered page."""

    id: int
    url: str
    origin: str
    digest: str
    variant: str
    fields: str  # JSON


class StructureRow(Struct, frozen=True):
    """One structure that pages of a type were seen in."""

    digest: str
    lines: tuple[str, ...]


_COLUMNS = "page_type, url, origin, run_id, parser_build, build_marker, digest, variant, fields"
_lines = msgspec.json.Decoder(tuple[str, ...])


def is_empty(store: Store) -> bool:
    with store.read():
        return not store.sql("SELECT 1 FROM page_signal LIMIT 1")


def ids(store: Store, page_type: str) -> list[int]:
    """The ids of the pages of a type that are remembered, the newest first. What stands under an id never changes."""
    with store.read():
        return [
            id_ for (id_,) in store.sql("SELECT id FROM page_signal WHERE page_type = ? ORDER BY id DESC", page_type)
        ]


def some(store: Store, wanted: Sequence[int]) -> tuple[KeptRow, ...]:
    """Remembered pages, by id."""
    if not wanted:
        return ()
    with store.read():
        found = store.sql(
            f"SELECT id, url, origin, digest, variant, fields FROM page_signal WHERE id IN ({_marks(wanted)})", *wanted
        )
    return tuple(KeptRow(*row) for row in found)


def structures(store: Store, page_type: str) -> tuple[StructureRow, ...]:
    with store.read():
        found = store.sql("SELECT digest, lines FROM page_structure WHERE page_type = ?", page_type)
    return tuple(StructureRow(digest, _lines.decode(lines)) for digest, lines in found)


def keep(store: Store, rows: Iterable[SignalRow]) -> None:
    """Remember pages, each in the place of what was known of its URL, and forget the oldest beyond the limits."""
    by_type: dict[str, list[SignalRow]] = {}
    for row in rows:
        by_type.setdefault(row.page_type, []).append(row)
    with store.write():
        for page_type, some in by_type.items():
            _insert(store, page_type, _thinned(some))
            store.sql(
                """DELETE FROM page_signal WHERE page_type = ? AND id <= (
                       SELECT id FROM page_signal WHERE page_type = ? ORDER BY id DESC LIMIT 1 OFFSET ?)""",
                page_type,
                page_type,
                KEEP_SIGNALS,
            )


def _insert(store: Store, page_type: str, rows: Sequence[SignalRow]) -> None:
    for origin in {row.origin for row in rows}:  # what was known of its other pages makes room for these
        store.sql("DELETE FROM page_signal WHERE page_type = ? AND origin = ?", page_type, origin)
    urls = [row.url for row in rows]
    store.sql(f"DELETE FROM page_signal WHERE page_type = ? AND url IN ({_marks(urls)})", page_type, *urls)
    now = store.now_ms().sql
    values = [value for row in rows for value in msgspec.structs.astuple(row)]
    marks = ", ".join([f"({_marks(SignalRow.__struct_fields__)}, {now})"] * len(rows))
    store.sql(f"INSERT INTO page_signal ({_COLUMNS}, at) VALUES {marks}", *values)


def _thinned(rows: list[SignalRow]) -> list[SignalRow]:
    """At most `KEEP_OF_ORIGIN` of each origin, spread evenly over the order they were read in; one of each URL."""
    by_origin: dict[str, dict[str, SignalRow]] = {}
    for row in rows:
        by_origin.setdefault(row.origin, {})[row.url] = row
    kept: list[SignalRow] = []
    for some in by_origin.values():
        pages = list(some.values())
        step = max(len(pages) / KEEP_OF_ORIGIN, 1.0)
        kept += [pages[int(number * step)] for number in range(min(len(pages), KEEP_OF_ORIGIN))]
    return kept


def learn_structure(
    store: Store, page_type: str, digest: str, lines: Sequence[str], url: str, *, alerted: bool
) -> None:
    """Remember a structure, or all lines that one is known by now; the longest unseen are forgotten."""
    now = store.now_ms().sql
    told = now if alerted else "NULL"
    with store.write():
        store.sql(
            f"""INSERT INTO page_structure
                    (page_type, digest, lines, first_seen_at, last_seen_at, first_url, alerted_at)
                VALUES (?, ?, ?, {now}, {now}, ?, {told})
                ON CONFLICT (page_type, digest) DO UPDATE
                SET lines = excluded.lines,
                    alerted_at = COALESCE(excluded.alerted_at, page_structure.alerted_at)""",
            page_type,
            digest,
            msgspec.json.encode(lines).decode(),
            url,
        )
        store.sql(
            """DELETE FROM page_structure WHERE page_type = ? AND digest NOT IN (
                   SELECT digest FROM page_structure WHERE page_type = ?
                   ORDER BY last_seen_at DESC, digest LIMIT ?)""",
            page_type,
            page_type,
            KEEP_STRUCTURES,
        )


def saw_structures(store: Store, page_type: str, digests: Collection[str]) -> None:
    """Known structures were seen again: the others are forgotten first."""
    store.sql(
        f"UPDATE page_structure SET last_seen_at = {store.now_ms().sql} WHERE page_type = ? "
        f"AND digest IN ({_marks(digests)})",
        page_type,
        *digests,
    )


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
