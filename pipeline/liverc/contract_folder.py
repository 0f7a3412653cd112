"""Accepted additions to the shipped contracts, as versioned data in the data folder: a repair needs no release.

    <page type>.v<number>.json    one file per step: what it added or withdrew, why, for which case, and the whole of
                                  what is in force since

Files only ever come; the newest of a page type says what is in force. A file appears whole or not at all and never in
place of another, so that several processes and machines may share the folder.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError, StoreError
from pipeline.liverc.build import build_of

if TYPE_CHECKING:
    from pipeline.liverc.readers import Readers

FOLDER = "contracts"  # below the data folder
_NAME = re.compile(r"([a-z_]+)\.v([1-9][0-9]{0,8})\.json")

Addition = Mapping[str, Any]


class ContractVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step in the history of a page type's contract."""

    page_type: str
    version: int  # 1, 2, 3 … per page type
    action: str  # accept, withdraw
    reason: str
    case: int | None  # the drift case that it answers
    who: str
    at: int  # UTC milliseconds, that machine's clock
    added: dict[str, Any]  # accept: what this step brought, in the contract's shape, lists only; withdraw: nothing
    withdraws: int | None = None  # withdraw: the version that is taken back
    addition: dict[str, Any]  # everything in force from this step on


class ContractFolder:
    """The additions below a data folder. Safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: tuple[tuple[tuple[str, int, int], ...], Readers | None, dict[str, Any]] = ((), None, {})

    # ------------------------------------------------------------------ what is in force

    def current(self) -> Readers:
        """The readers with everything that is in force; read again only when the folder changed.

        Raises StoreError ARCHIVE_FAILED where a file is damaged; StateError GATE_CLOSED where an addition does not fit
        the contracts of this version of the program.
        """
        from pipeline.liverc.contract import ContractError
        from pipeline.liverc.readers import SHIPPED, Readers

        with self._lock:
            listing, readers, additions = self._look()
            if readers is None:
                try:
                    readers = Readers.of(additions) if additions else SHIPPED
                except ContractError as error:
                    raise StateError(
                        Kind.GATE_CLOSED,
                        f"An accepted addition does not fit the contracts of this version of the program: {error}",
                        remedy="Withdraw the addition, or use the version of the program that it was accepted with.",
                        folder=str(self.root),
                    ) from error
                self._known = (listing, readers, additions)
            return readers

    def build(self) -> str:
        """`current().build`, without compiling anything."""
        with self._lock:
            return build_of(self._look()[2])

    def history(self, page_type: str | None = None) -> tuple[ContractVersion, ...]:
        """Every step, oldest first. Raises StoreError ARCHIVE_FAILED."""
        steps = (_read(self.root / name) for name, _, _ in self._listing())
        chosen = [step for step in steps if page_type in (None, step.page_type)]
        return tuple(sorted(chosen, key=lambda step: (step.at, step.page_type, step.version)))

    # ------------------------------------------------------------------ changing it

    def accept(self, page_type: str, addition: Addition, *, reason: str, case: int | None, who: str) -> int:
        """Put further alternatives into force; returns the new version. What they add to stays in force too.

        Raises StateError USAGE for an addition that is no valid one, brings nothing, or has no reason.
        """
        added = _plain(addition)

        def step(version: int, before: ContractVersion | None) -> ContractVersion:
            in_force = _merged(before.addition if before else {}, added)
            if before is not None and in_force == before.addition:
                raise StateError(Kind.USAGE, f"Nothing new: version {before.version} of {page_type} holds all of it")
            return ContractVersion(
                page_type=page_type,
                version=version,
                action="accept",
                reason=reason.strip(),
                case=case,
                who=who,
                at=_now_ms(),
                added=added,
                addition=in_force,
            )

        return self._append(page_type, step, reason)

    def withdraw(self, page_type: str, version: int, *, reason: str, who: str, case: int | None = None) -> int:
        """Take back what a version brought, and only that; returns the new version.

        Raises StateError USAGE where there is no such version in force.
        """

        def step(number: int, before: ContractVersion | None) -> ContractVersion:
            steps = [one for one in self.history(page_type) if one.version < number]
            gone = {one.withdraws for one in steps}
            in_force = [one for one in steps if one.action == "accept" and one.version not in gone]
            if version not in {one.version for one in in_force}:
                raise StateError(Kind.USAGE, f"Version {version} of {page_type} is not in force")
            rest: dict[str, Any] = {}
            for one in sorted(in_force, key=lambda one: one.version):
                if one.version != version:
                    rest = _merged(rest, one.added)
            return ContractVersion(
                page_type=page_type,
                version=number,
                action="withdraw",
                reason=reason.strip(),
                case=case,
                who=who,
                at=_now_ms(),
                added={},
                withdraws=version,
                addition=rest,
            )

        return self._append(page_type, step, reason)

    def export_patch(self, page_type: str) -> str:
        """What is in force as a unified diff against the shipped contract; empty where nothing was added."""
        from pipeline.liverc.contract_patch import unified_patch

        addition = self.current().additions.get(page_type, {})
        return unified_patch(page_type, addition) if addition else ""

    # ------------------------------------------------------------------ inside

    def _append(self, page_type: str, step: Any, reason: str) -> int:
        from pipeline.liverc.contract import READABLE, ContractError, load_contract
        from pipeline.liverc.urls import PageType

        if page_type not in {str(known) for known in READABLE}:
            raise StateError(Kind.USAGE, f"There is no contract for {page_type!r}")
        if not reason.strip():
            raise StateError(Kind.USAGE, "A change of a contract needs a reason: whoever finds it reads it")
        while True:
            newest = self._newest(page_type)
            made: ContractVersion = step(newest.version + 1 if newest else 1, newest)
            try:
                load_contract(PageType(page_type), made.addition)
            except ContractError as error:
                raise StateError(Kind.USAGE, f"This addition cannot be used: {error}") from error
            if _write_new(self.root / f"{page_type}.v{made.version}.json", msgspec.json.encode(made) + b"\n"):
                return made.version

    def _newest(self, page_type: str) -> ContractVersion | None:
        versions = [version for name, version in self._versions() if name == page_type]
        return _read(self.root / f"{page_type}.v{max(versions)}.json") if versions else None

    def _versions(self) -> list[tuple[str, int]]:
        matches = (_NAME.fullmatch(name) for name, _, _ in self._listing())
        return [(match[1], int(match[2])) for match in matches if match]

    def _listing(self) -> tuple[tuple[str, int, int], ...]:
        """(name, size, time of change in ns) of every file: what tells that the folder changed."""
        try:
            with os.scandir(self.root) as files:
                facts = [(file.name, file.stat()) for file in files if _NAME.fullmatch(file.name)]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _failed("read", self.root, error) from error
        return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in facts))

    def _look(self) -> tuple[tuple[tuple[str, int, int], ...], Readers | None, dict[str, Any]]:
        """The folder as it is now: its listing, the readers if they were compiled already, and all additions."""
        listing = self._listing()
        if listing != self._known[0]:
            newest = {name: max(v for other, v in self._versions() if other == name) for name, _ in self._versions()}
            files = {name: _read(self.root / f"{name}.v{version}.json") for name, version in sorted(newest.items())}
            additions = {name: step.addition for name, step in files.items() if step.addition}
            self._known = (listing, None, additions)
        return self._known


def _merged(base: Addition, extra: Addition) -> dict[str, Any]:
    """Two additions as one: lists grow, nothing is lost."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = [*old, *(item for item in value if item not in old)]
        else:
            merged[key] = value
    return merged


def _plain(addition: Addition) -> dict[str, Any]:
    """As JSON would give it back: tuples become lists."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(addition))
    return plain


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _read(path: Path) -> ContractVersion:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ContractVersion)
    except OSError as error:
        raise _failed("read", path, error) from error
    except msgspec.DecodeError as error:
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"An accepted contract is damaged: {path.name}: {error}", path=str(path)
        ) from error


def _write_new(path: Path, content: bytes) -> bool:
    """Make a file whole or not at all; False where somebody else made it meanwhile."""
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)  # unlike a rename it refuses to take another's place
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise _failed("written", path, error) from error
    return True


def _failed(done: str, path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        Kind.ARCHIVE_FAILED, f"The accepted contracts cannot be {done}: {reason} ({path})", path=str(path)
    )
