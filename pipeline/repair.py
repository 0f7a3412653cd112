"""From a drift case to an accepted repair: the pages that teach, a proposal, its trials, acceptance.

The pages of a case that were known before it are what a proposal is learnt from: probes fetched them again, or a run
did. Nothing is accepted that changes how any archived page reads, and nothing that a page not learnt from contradicts;
what is accepted is data beside the shipped contracts, and can be withdrawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from pipeline import contract_changes, drift, known_pages
from pipeline.drift import Case
from pipeline.errors import Kind, PipelineError, StateError, StoreError
from pipeline.liverc.contract_folder import ContractFolder
from pipeline.liverc.coverage import Coverage, coverage
from pipeline.liverc.induction import KnownPage, Proposal, merged, propose
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import parse_url
from pipeline.page_diff import DiffPage, PageDiff, diff_pages
from pipeline.records import PageRecord, RacePage
from pipeline.store import drift as drift_rows
from pipeline.store import events as event_rows
from pipeline.store import runs as run_rows
from pipeline.store.archive import PageArchive, PageEntry
from pipeline.store.database import Store
from pipeline.suspicions import page_suspicions, race_page_suspicions

LEARN, HOLD_OUT = 3, 3
PREVIEWED = 60  # archived pages of the type that are read with and without the addition
_EVENTS_LOOKED_AT = 200


@dataclass(frozen=True)
class Workshop:
    """What repairing works with."""

    store: Store
    archive: PageArchive
    readers: Readers
    contracts: ContractFolder


class CasePage(Struct, frozen=True):
    """A page of a case as it was and as it is."""

    known: KnownPage
    old: DiffPage | None  # None: only what it said is remembered, not its bytes
    new: DiffPage
    origin: str  # probe, run, remembered


class Previewed(Struct, frozen=True):
    """One page read with the addition in a sandbox."""

    url: str
    origin: str  # archive, case
    same: bool | None  # archive: does it read as before? case: does it read as known, or without doubt?
    message: str  # what differs, or the failure


class RepairProposal(Struct, frozen=True):
    """What would repair a case, with everything that speaks for and against it."""

    case: Case
    proposal: Proposal
    learnt_from: tuple[str, ...]  # URLs
    held_out: tuple[str, ...]
    trials: tuple[Previewed, ...]  # pages of the case that nobody knows from before: do they read without doubt?
    diff: PageDiff | None  # of the first page; None: its bytes were never kept
    digest: str  # names this very addition: what is accepted is what was shown
    objections: tuple[str, ...]  # why it cannot be accepted as it is; empty: it can

    @property
    def acceptable(self) -> bool:
        return not self.objections


class Preview(Struct, frozen=True):
    """What an addition does to pages, old and new. Nothing was changed."""

    digest: str
    pages: tuple[Previewed, ...]

    @property
    def changed(self) -> tuple[Previewed, ...]:
        return tuple(page for page in self.pages if not page.same)


# ---------------------------------------------------------------- pages


def case_pages(shop: Workshop, case: Case) -> tuple[CasePage, ...]:
    """Pages of a case that are known from before, newest answer first; what cannot be read as it was is left out."""
    found: dict[str, CasePage] = {}
    for url, known, new, origin in (*_probed(case), *_of_runs(shop, case), *_doubted(shop, case)):
        if url not in found and known != new and parse_url(url).page_type == case.page_type:
            page = _case_page(shop, url, known, new, origin)
            if page is not None:
                found[url] = page
    return tuple(found.values()) or tuple(_remembered(shop, case))


def _probed(case: Case) -> Iterator[tuple[str, str, str, str]]:
    for one in case.probes:
        if one.known_sha256 and one.new_sha256:
            yield one.url, one.known_sha256, one.new_sha256, "probe"


def _of_runs(shop: Workshop, case: Case) -> Iterator[tuple[str, str, str, str]]:
    """Pages that a failed run of the case fetched, beside those that the event serves."""
    for event in case.events:
        row = event_rows.get_event(shop.store, event.event_id)
        if row is None or event.run_id is None or row.current_run_id is None:
            continue
        served = {entry.url: entry for entry in _entries(shop, row.current_run_id)}
        for entry in _entries(shop, event.run_id):
            if entry.page_type == case.page_type and entry.url in served:
                yield entry.url, served[entry.url].sha256, entry.sha256, "run"


def _doubted(shop: Workshop, case: Case) -> Iterator[tuple[str, str, str, str]]:
    """The doubted pages themselves, where their event serves an earlier capture."""
    row = event_rows.get_event(shop.store, case.event_id) if case.event_id is not None else None
    if row is None or row.current_run_id is None:
        return
    served = {entry.url: entry.sha256 for entry in _entries(shop, row.current_run_id)}
    for doubt in case.doubts:
        if doubt.sha256 and doubt.url in served:
            yield doubt.url, served[doubt.url], doubt.sha256, "run"


def _remembered(shop: Workshop, case: Case) -> Iterator[CasePage]:
    """Pages of tracks and the catalogue are not archived; what they said stands in the database."""
    bodies = {doubt.url: doubt.sha256 for doubt in case.doubts}
    bodies |= {one.url: one.new_sha256 for one in case.probes}
    for url, sha256 in bodies.items():
        if sha256 is None or not url:
            continue
        try:
            body = shop.archive.get(sha256)
        except StoreError:
            continue
        for known in known_pages.remembered(shop.store, parse_url(url), body):
            yield CasePage(known, None, DiffPage(url, body, f"{url} now"), "remembered")


def _entries(shop: Workshop, run_id: int) -> tuple[PageEntry, ...]:
    run = run_rows.get_run(shop.store, run_id)
    if run is None or run.pages_manifest is None:
        return ()
    try:
        return shop.archive.read_manifest(run.pages_manifest).pages
    except StoreError:
        return ()


def _case_page(shop: Workshop, url: str, known: str, new: str, origin: str) -> CasePage | None:
    ref = parse_url(url)
    try:
        old_body, new_body = shop.archive.get(known), shop.archive.get(new)
        record = shop.readers.read(old_body, ref)
    except PipelineError:
        return None
    old, now = DiffPage(url, old_body, f"{url} as known"), DiffPage(url, new_body, f"{url} now")
    return CasePage(KnownPage(ref, new_body, record), old, now, origin)


def pages_known_before(shop: Workshop, case_id: int) -> list[CasePage]:
    """The pages of a case that are known from before, those that teach most first.

    Raises StateError USAGE where there is no such case, or no such page.
    """
    pages = sorted(case_pages(shop, drift.get_case(shop.store, case_id)), key=_telling)
    if not pages:
        raise StateError(
            Kind.USAGE,
            f"No page of drift case {case_id} is known from before, so there is nothing to learn from",
            case=case_id,
            remedy=f"`mre drift probe {case_id}` fetches known pages of other events again.",
        )
    return pages


def _telling(page: CasePage) -> int:
    """How little a page leaves open: what is nothing on it cannot be looked for elsewhere."""
    record = page.known.record
    if isinstance(record, RacePage):
        return sum(value is None for row in record.rows for value in msgspec.structs.astuple(row)) - 20 * len(
            record.rows
        )
    return -len(str(record))


# ---------------------------------------------------------------- proposing


def propose_repair(shop: Workshop, case_id: int) -> RepairProposal:
    """Learn from the pages of a case what would let them be read, and try it on those not learnt from.

    Raises StateError USAGE where there is no such case, or none of its pages is known from before; ParseError where its
    pages are no HTML any more.
    """
    case = drift.get_case(shop.store, case_id)
    pages = pages_known_before(shop, case_id)
    learn, hold_out = _split(pages)
    contract = shop.readers.contract(case.page_type)
    added = dict(shop.readers.additions.get(case.page_type, {}))
    proposal = propose(
        case.page_type,
        [page.known for page in learn],
        [page.known for page in hold_out],
        contract,
        added=added,
        judge=judge,
    )
    first = learn[0]
    trials = tuple(_trials(shop, case, proposal))
    return RepairProposal(
        case=case,
        proposal=proposal,
        learnt_from=tuple(page.known.ref.url for page in learn),
        held_out=tuple(page.known.ref.url for page in hold_out),
        trials=trials,
        diff=diff_pages(first.old, first.new, contract, added=added) if first.old else None,
        digest=digest_of(proposal),
        objections=tuple(_objections(case, proposal, trials)),
    )


def _split(pages: list[CasePage]) -> tuple[list[CasePage], list[CasePage]]:
    """(to learn from, to hold out): at least one is held out where there are two."""
    if len(pages) == 1:
        return pages, []
    count = min(LEARN, max(1, len(pages) - 2))
    return pages[:count], pages[count : count + HOLD_OUT]


def judge(record: PageRecord, seen: Coverage) -> list[str]:
    """What a page that was read contradicts: its cross-checks, in sentences."""
    doubts = race_page_suspicions(record, seen) if isinstance(record, RacePage) else page_suspicions(record, seen)
    return [one.why for one in doubts]


def digest_of(proposal: Proposal) -> str:
    """12 hexadecimal digits that name an addition."""
    return hashlib.sha256(msgspec.json.encode(proposal.addition, order="deterministic")).hexdigest()[:12]


def _trials(shop: Workshop, case: Case, proposal: Proposal) -> Iterator[Previewed]:
    """The doubted pages that were never read before, read with the addition."""
    tried = {check.url for check in proposal.checks}
    widened = _widened(shop, case.page_type, proposal)
    for doubt in case.doubts:
        if widened is None or doubt.sha256 is None or doubt.url in tried:
            continue
        tried.add(doubt.url)
        ref = parse_url(doubt.url)
        try:
            body = shop.archive.get(doubt.sha256)
            record = widened.read(body, ref)
        except PipelineError as error:
            yield Previewed(doubt.url, "case", False, error.message)
            continue
        said = judge(record, coverage(body, ref, widened.contract(case.page_type)))
        yield Previewed(doubt.url, "case", not said, "; ".join(said[:2]) or "reads without doubt")


def _widened(shop: Workshop, page_type: str, proposal: Proposal) -> Readers | None:
    """The readers with what is proposed; None where nothing is."""
    if not proposal.addition:
        return None
    additions = dict(shop.readers.additions)
    additions[page_type] = merged(dict(additions.get(page_type, {})), proposal.addition)
    return Readers.of(additions)


def _objections(case: Case, proposal: Proposal, trials: tuple[Previewed, ...]) -> Iterator[str]:
    if case.state != drift.CONFIRMED:
        yield f"the case is {case.state}, and only a confirmed one changes how pages are read"
    if not proposal.addition:
        yield "no selector can be added that would let the pages be read: this needs a new version of the program"
    elif not proposal.held_out and not trials:
        yield "there is no page left to try it on: everything known was learnt from"
    for check in proposal.checks:
        if not check.passed:
            said = check.failure or "; ".join((*check.wrong, *check.doubts)[:2])
            yield f"{check.url} {'' if check.learnt_from else '(held out) '}does not read as known: {said}"
    yield from (f"{trial.url} {trial.message}" for trial in trials if not trial.same)


# ---------------------------------------------------------------- trying


def preview_repair(shop: Workshop, found: RepairProposal) -> Preview:
    """Read archived pages of the type with and without the addition, and the case's pages with it. Writes nothing."""
    page_type = found.case.page_type
    widened = _widened(shop, page_type, found.proposal)
    if widened is None:
        return Preview(found.digest, ())
    pages = [_try_old(shop, widened, url, sha256) for url, sha256 in _archived(shop, page_type)]
    for check in found.proposal.checks:
        said = check.failure or "; ".join((*check.wrong, *check.doubts)) or f"{check.right} values as known"
        pages.append(Previewed(check.url, "case", check.passed, said))
    return Preview(found.digest, (*(page for page in pages if page is not None), *found.trials))


def _archived(shop: Workshop, page_type: str) -> Iterable[tuple[str, str]]:
    """(URL, sha256) of pages that served events were made of, the newest events first."""
    found: dict[str, str] = {}
    for _, _, manifest in drift_rows.served_manifests(shop.store, without=(), limit=_EVENTS_LOOKED_AT):
        try:
            pages = shop.archive.read_manifest(manifest).pages
        except StoreError:  # a damaged archive has its own check
            continue
        for page in [page for page in pages if page.page_type == page_type][: PREVIEWED // 6]:
            found.setdefault(page.url, page.sha256)
        if len(found) >= PREVIEWED:
            break
    return found.items()


def _try_old(shop: Workshop, widened: Readers, url: str, sha256: str) -> Previewed | None:
    ref = parse_url(url)
    try:
        body = shop.archive.get(sha256)
        before = shop.readers.read(body, ref)
    except PipelineError:
        return None  # it says nothing about the addition
    try:
        after = widened.read(body, ref)
    except PipelineError as error:
        return Previewed(url, "archive", False, error.message)
    return Previewed(url, "archive", before == after, "reads as before" if before == after else "reads otherwise")


# ---------------------------------------------------------------- deciding


def accept_repair(shop: Workshop, case_id: int, *, digest: str | None, reason: str, who: str) -> int:
    """Put a proposal into force; the new version of the page type's contract.

    Args:
        digest: of the proposal that was shown; another one is refused, because pages or readers changed since.
    Raises:
        StateError: USAGE where the proposal has objections, is another one, or would change how an archived page
            reads. Nothing was changed then.
    """
    found = propose_repair(shop, case_id)
    if digest is not None and digest != found.digest:
        raise StateError(Kind.USAGE, f"The proposal is another one now: {found.digest}, not {digest}", case=case_id)
    if found.objections:
        raise StateError(Kind.USAGE, f"This proposal cannot be accepted: {found.objections[0]}", case=case_id)
    changed = preview_repair(shop, found).changed
    if changed:
        text = f"With it {changed[0].url} {changed[0].message}: an addition must leave old pages as they are"
        raise StateError(Kind.USAGE, text, case=case_id)
    return contract_changes.accept_addition(
        shop.store,
        shop.contracts,
        found.case.page_type,
        found.proposal.addition,
        case=case_id,
        reason=reason,
        who=who,
    )
