"""Accepting and withdrawing additions to contracts: the files of the data folder and the audit in the database, both.

An addition is accepted for a confirmed drift case only. What it makes of the readers is another build, which the gate
has not judged yet: nothing is ingested with it before every page set reads as it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from pipeline import drift
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.liverc.contract_folder import ContractFolder
from pipeline.store import gate as rows
from pipeline.store import journal
from pipeline.store.database import Store
from pipeline.store.gate import ContractChangeRow


def accept_addition(
    store: Store,
    folder: ContractFolder,
    page_type: str,
    addition: Mapping[str, Any],
    *,
    case: int,
    reason: str,
    who: str,
) -> int:
    """Put further alternatives of a page type into force; the new version of its contract.

    Raises StateError USAGE where the case is not confirmed, is about another page type, there is no reason, or the
    addition is no valid one; StoreError. Nothing was changed then.
    """
    version: int | None = None
    try:
        with store.write():
            about = drift.require_confirmed(store, case)
            if about.page_type != page_type:
                text = f"Drift case {case} is about {about.page_type} pages, not {page_type}"
                raise StateError(Kind.USAGE, text, case=case, page_type=page_type)
            version = folder.accept(page_type, addition, reason=reason, case=case, who=who)
            _record(store, folder, page_type, version, "accepted", None, case, reason, who)
    except BaseException:
        if version is not None and not _is_recorded(store, page_type, version):
            folder.withdraw(page_type, version, reason="it could not be recorded", who=who, case=case)
        raise
    return version


def withdraw_addition(
    store: Store,
    folder: ContractFolder,
    page_type: str,
    version: int,
    *,
    reason: str,
    who: str,
    case: int | None = None,
) -> int:
    """Take back what a version brought, and only that; the new version. Raises StateError USAGE, StoreError."""
    with store.write():
        made = folder.withdraw(page_type, version, reason=reason, who=who, case=case)
        _record(store, folder, page_type, made, "withdrawn", version, case, reason, who)
    return made


def _record(
    store: Store,
    folder: ContractFolder,
    page_type: str,
    version: int,
    how: str,
    withdraws: int | None,
    case: int | None,
    reason: str,
    who: str,
) -> None:
    readers = folder.current()
    row = ContractChangeRow(
        page_type=page_type,
        version=version,
        how=how,
        withdraws=withdraws,
        parser_build=readers.build,
        addition=msgspec.json.encode(readers.additions.get(page_type, {})).decode(),
        case_id=case,
        reason=reason.strip(),
        who=who,
    )
    rows.add_contract_change(store, row)
    what = f"version {version}" if withdraws is None else f"version {version}, which takes back {withdraws},"
    facts = {"page_type": page_type, "version": version, "case": case, "who": who, "parser_build": readers.build}
    journal.append(
        store,
        [
            journal.JournalEntry(
                entry_kind="audit",
                severity="warning",
                name=f"contract_{how}",
                message=f"contract {page_type}: {what} {how} by {who}: {reason.strip()}",
                fields=msgspec.json.encode({**facts, "reason": reason.strip()}).decode(),
            )
        ],
    )


def _is_recorded(store: Store, page_type: str, version: int) -> bool:
    """Whether a commit whose answer was lost went through; a silent database counts as yes."""
    with suppress(PipelineError):
        return any(row.version == version for row in rows.contract_changes(store, page_type))
    return True
