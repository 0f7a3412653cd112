"""Page sets that are kept to prove the readers: loading them, replaying them, and saying field by field what differs.

A set is a folder `liverc/<event id>/` with the pages as they were served, `metadata.json` (which page came from which
URL, and the sha256 of every file) and `expected.json`, the document that reading them must give. Fixtures are bytes:
a file that is not what its metadata says is refused before anything is read from it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import document, records
from pipeline.errors import Kind, PipelineError, StoreError
from pipeline.replay import read_pages
from pipeline.violations import require_valid

SITE = "liverc"  # the folder of this site's sets below the fixtures
EXPECTED = "expected.json"
METADATA = "metadata.json"


class Metadata(Struct, frozen=True):
    """What `metadata.json` must say; it may say more."""

    event_id: str
    urls: dict[str, str]  # file name → the page's URL
    sha256: dict[str, str]  # file name → of its bytes


class FixtureSet(Struct, frozen=True):
    """One event's pages with the document that they must give."""

    folder: Path
    event_id: str
    pages: tuple[tuple[str, bytes], ...]  # (URL, body)
    expected: bytes  # canonical


class Difference(Struct, frozen=True):
    """One field in which two documents differ."""

    where: str  # e.g. races[6300001].results[2].laps[7].lap_time_ms
    expected: str | None  # as JSON; None where it should not be there at all
    got: str | None

    def shown(self) -> str:
        """One phrase for people."""
        return f"{self.where}: expected {self.expected or 'nothing'}, got {self.got or 'nothing'}"


class Replay(Struct, frozen=True):
    """How replaying a set went."""

    event_id: str
    sha256: str | None  # of the document; None where there is none
    failure: str | None  # why there is no valid document
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None and not self.differences


def list_sets(root: Path) -> tuple[Path, ...]:
    """The folders of all sets below the fixtures folder, by event id."""
    return tuple(sorted(path.parent for path in (root / SITE).glob(f"*/{METADATA}")))


def load_set(folder: Path) -> FixtureSet:
    """Read a set. Raises StoreError ARCHIVE_FAILED where a file is missing or is not what the metadata says."""
    try:
        metadata = msgspec.json.decode((folder / METADATA).read_bytes(), type=Metadata)
        files = {name: (folder / name).read_bytes() for name in (*metadata.urls, EXPECTED)}
    except OSError as error:
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"The fixture set {folder.name} is not whole: {error.strerror} ({error.filename})"
        ) from error
    except msgspec.DecodeError as error:
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"The metadata of the fixture set {folder.name} cannot be read: {error}"
        ) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != metadata.sha256.get(name):
            raise StoreError(
                Kind.ARCHIVE_FAILED, f"{name} of the fixture set {folder.name} is not the file that was captured"
            )
    pages = tuple((url, files[name]) for name, url in metadata.urls.items())
    return FixtureSet(folder, metadata.event_id, pages, files[EXPECTED])


def replay(fixtures: FixtureSet) -> Replay:
    """Read the pages of a set as an ingestion would, and compare the document with the expected one."""
    try:
        pages = read_pages(fixtures.pages)
        got = pages.build()
        require_valid(pages.check(got))
        expected = document.decode(fixtures.expected)
    except PipelineError as error:
        return Replay(fixtures.event_id, None, f"{error.kind}: {error.message}", ())
    different = () if document.encode(got) == fixtures.expected else tuple(differences(expected, got))
    return Replay(fixtures.event_id, document.sha256(got), None, different)


def differences(expected: records.Event, got: records.Event) -> Iterator[Difference]:
    """Every field in which two documents differ; races and entries are matched by what identifies them."""
    yield from _compare("", _plain(expected), _plain(got))


# ---------------------------------------------------------------- inside

# What names an item of a list, so that one missing race is not told as a difference in every race after it.
_NAMES = {"races": "source_race_id", "laps": "lap_number"}


def _plain(event: records.Event) -> object:
    return json.loads(document.encode(event))


def _compare(where: str, expected: object, got: object) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in expected:
            yield from _compare(f"{where}.{key}" if where else key, expected[key], got[key])
    elif isinstance(expected, list) and isinstance(got, list):
        left, right = _named(where, expected), _named(where, got)
        for name in dict.fromkeys((*left, *right)):
            place = f"{where}[{name}]"
            if name in left and name in right:
                yield from _compare(place, left[name], right[name])
            else:
                yield Difference(place, _brief(left.get(name)), _brief(right.get(name)))
    elif expected != got:
        yield Difference(where, _brief(expected), _brief(got))


def _named(where: str, items: list[object]) -> dict[str, object]:
    key = _NAMES.get(where.rpartition(".")[2])
    names = [str(item[key]) for item in items if isinstance(item, dict)] if key else []
    if len(set(names)) != len(items):  # no names, or not one each
        names = [str(number) for number in range(1, len(items) + 1)]
    return dict(zip(names, items, strict=True))


def _brief(value: object) -> str | None:
    text = None if value is None else json.dumps(value, ensure_ascii=False)
    return text if text is None or len(text) <= 120 else text[:119] + "…"


def main(root: str) -> None:
    """Print what each set gives as one JSON object: for the determinism check, which asks several processes."""
    print(
        json.dumps({one.event_id: one.sha256 for one in (replay(load_set(folder)) for folder in list_sets(Path(root)))})
    )


if __name__ == "__main__":
    main(sys.argv[1])
