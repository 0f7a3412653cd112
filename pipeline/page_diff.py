"""Two pages beside each other: what moved, in words first, then field by field, then as skeletons.

Pure: bytes in, a picture out that a screen or a command only has to show. The old page is one that was read well; the
new one need not be readable at all. Where both are the same page at two times, the values that the old one gave are
looked for on the new one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from pipeline.document import parsed_as_json
from pipeline.errors import PipelineError
from pipeline.liverc.contract import Contract, ContractError, load_contract
from pipeline.liverc.coverage import Coverage, coverage_of
from pipeline.liverc.findings import AMBIGUOUS, LOST, MOVED, OK, FieldFinding
from pipeline.liverc.induction import KnownPage, Proposal, merged, propose
from pipeline.liverc.markup import page_facts, visible_text
from pipeline.liverc.outline import Outline, outline_of
from pipeline.liverc.readers import read_page
from pipeline.liverc.structure import StructureChange, changes, fingerprint_of
from pipeline.liverc.trace import PartTrace, Trace, trace, trace_page
from pipeline.liverc.urls import PageRef, PageType, parse_url
from pipeline.records import PageRecord
from pipeline.suspicions import page_suspicions

SAME, GONE, NEW = "same", "gone", "new"
_CONTEXT = 3
_RAW_LIMIT = 20_000  # lines of a raw diff


class DiffPage(Struct, frozen=True):
    """One side."""

    url: str
    body: bytes
    name: str  # where it is from, for people


class FieldLine(Struct, frozen=True):
    """One field of the contract on both pages. Line numbers are indexes into `PageDiff.old` and `.new`."""

    field: str
    part: str | None
    status: str  # ok, moved, ambiguous, lost
    selector: str
    known: str  # a value of the old page
    now: str | None  # the selector that gives it on the new page, where that is another
    found: str | None  # the text there
    support: int  # places of the new page where that gives the known value
    of: int
    runner_up: str | None
    runner_up_support: int
    note: str | None
    old_lines: tuple[int, ...]  # where the field stands
    new_lines: tuple[int, ...]


class SkeletonLine(Struct, frozen=True):
    """One line of the compared skeletons."""

    kind: str  # same, gone, new
    text: str
    old: int | None  # index into `PageDiff.old`
    new: int | None


class PageDiff(Struct, frozen=True):
    """All that a screen shows of two pages."""

    page_type: str
    headline: str
    old_name: str
    new_name: str
    old_build: str | None  # LiveRC's own build marker
    new_build: str | None
    failure: str | None  # why the new page cannot be read; None: it can
    doubts: tuple[str, ...]  # what is doubtful about it although it can
    similarity: float  # of the structures of what is read: 1.0 is no change
    structure: StructureChange
    fields: tuple[FieldLine, ...]
    old: tuple[str, ...]  # skeletons
    new: tuple[str, ...]
    lines: tuple[SkeletonLine, ...]  # both, in order
    changes: tuple[int, ...]  # where each change begins in `lines`: for next and previous
    addition: dict[str, Any]  # what would let the new page be read, as far as one page can tell

    def unified(self, context: int = _CONTEXT) -> tuple[str, ...]:
        """The changed lines with a few around them, marked `-`, `+` and blank."""
        return tuple(_unified(self.lines, context))

    def side_by_side(self) -> tuple[tuple[str, str, str], ...]:
        """(kind, left, right) per row; what was replaced stands beside its replacement."""
        return tuple(_side_by_side(self.lines))

    def following(self, line: int) -> int | None:
        """The next change after a line of `lines`."""
        return next((at for at in self.changes if at > line), None)

    def preceding(self, line: int) -> int | None:
        """The change before a line of `lines`."""
        return next((at for at in reversed(self.changes) if at < line), None)


class Reparse(Struct, frozen=True):
    """A stored page read again, offline."""

    url: str
    page_type: str
    failure: str | None
    field: str | None  # that failed
    said: dict[str, Any] | None  # what the page says, in the canonical document's names
    doubts: tuple[str, ...]


def diff_pages(
    old: DiffPage, new: DiffPage, contract: Contract | None = None, *, added: Mapping[str, Any] | None = None
) -> PageDiff:
    """Compare a page that was read well with one that may not be, of the same type.

    Raises `ValueError` for pages of two types; `ParseError` where the old page cannot be read, or the new is no HTML.
    """
    old_ref, new_ref = parse_url(old.url), parse_url(new.url)
    if old_ref.page_type != new_ref.page_type:
        raise ValueError(f"{old_ref.page_type} and {new_ref.page_type} pages cannot be compared")
    contract = contract or load_contract(old_ref.page_type)
    record = read_page(old.body, old_ref, contract)
    before, after = trace(old.body, old_ref, contract), trace(new.body, new_ref, contract)
    proposal = _proposal(new, new_ref, record, contract, added) if old_ref.url == new_ref.url else None
    outlines = outline_of(before.page), outline_of(after.page)
    readings = coverage_of(before), coverage_of(after)
    failure, doubts = _judged(new, new_ref, contract, readings[1])
    structures = fingerprint_of(before), fingerprint_of(after)
    structure = changes([structures[0]], structures[1])
    builds = page_facts(old.body).build_marker, page_facts(new.body).build_marker
    lines = tuple(_compare([one.text for one in outlines[0].lines], [one.text for one in outlines[1].lines]))
    fields = tuple(_fields(before, after, readings, outlines, proposal, added))
    return PageDiff(
        page_type=str(old_ref.page_type),
        headline=headline(
            str(old_ref.page_type), (before, after), readings, fields, structure, builds, failure, doubts
        ),
        old_name=old.name,
        new_name=new.name,
        old_build=builds[0],
        new_build=builds[1],
        failure=failure,
        doubts=doubts,
        similarity=structures[0].similarity(structures[1]),
        structure=structure,
        fields=fields,
        old=tuple(one.text for one in outlines[0].lines),
        new=tuple(one.text for one in outlines[1].lines),
        lines=lines,
        changes=_starts(lines),
        addition=proposal.addition if proposal else {},
    )


def raw_diff(old: DiffPage, new: DiffPage) -> Iterator[str]:
    """The bytes themselves as a unified diff, line by line."""
    left, right = (page.body.decode("utf-8", "replace").splitlines() for page in (old, new))
    found = difflib.unified_diff(left, right, old.name, new.name, lineterm="")
    for _, line in zip(range(_RAW_LIMIT), found, strict=False):
        yield line


def reparse(page: DiffPage, contract: Contract | None = None) -> Reparse:
    """Read a stored page again. Never raises for what the page holds."""
    ref = parse_url(page.url)
    try:
        record = read_page(page.body, ref, contract)
    except PipelineError as error:
        return Reparse(ref.url, str(ref.page_type), error.message, error.details.get("field"), None, ())
    seen = coverage_of(trace(page.body, ref, contract or load_contract(ref.page_type)))
    doubts = tuple(one.why for one in page_suspicions(record, seen))
    return Reparse(ref.url, str(ref.page_type), None, None, parsed_as_json(record), doubts)


def _proposal(
    new: DiffPage, ref: PageRef, record: PageRecord, contract: Contract, added: Mapping[str, Any] | None
) -> Proposal | None:
    try:
        return propose(ref.page_type, [KnownPage(ref, new.body, record)], (), contract, added=dict(added or {}))
    except PipelineError:
        return None


def _judged(new: DiffPage, ref: PageRef, contract: Contract, seen: Coverage) -> tuple[str | None, tuple[str, ...]]:
    try:
        record = read_page(new.body, ref, contract)
    except PipelineError as error:
        return error.message, ()
    return None, tuple(one.why for one in page_suspicions(record, seen))


# ---------------------------------------------------------------- the headline


def headline(
    page_type: str,
    seen: tuple[Trace, Trace],
    readings: tuple[Coverage, Coverage],
    fields: Sequence[FieldLine],
    structure: StructureChange,
    builds: tuple[str | None, str | None],
    failure: str | None,
    doubts: Sequence[str],
) -> str:
    """One line: `race_result · column 'Fastest Lap' is gone · 12 of 12 rows · since build 1273`."""
    said = next(_whole(*seen), None) or next(_gone(*readings, fields), None)
    moved = [line for line in fields if line.status in (MOVED, AMBIGUOUS)]
    if said is None and moved:
        said = f"{moved[0].field} stands elsewhere · {moved[0].support} of {moved[0].of} places"
    if said is None and (failure or doubts):
        said = (failure or doubts[0]).partition(": ")[2] or failure or doubts[0]
    if said is None and structure:
        count = len(structure.new) + len(structure.gone)
        said = f"the markup changed in {count} place{'s' if count > 1 else ''} · everything reads"
    since = f" · since build {builds[1]}" if builds[1] and builds[0] != builds[1] else ""
    return f"{page_type} · {said or 'no change in what is read'}{since}"


def _whole(before: Trace, after: Trace) -> Iterator[str]:
    """What is gone as a whole: the title, a block, the lap script."""
    if before.titled and not after.titled:
        yield f"the title is not LiveRC's any more: {after.page.title[:60]!r}"
    for was, now in zip(before.parts, after.parts, strict=True):
        rows = sum(len(block.rows) for block in was.blocks)
        if was.blocks and not now.blocks:
            yield f"the block of {was.part.name} is gone · {rows} of {rows} rows"
        elif rows and not any(block.rows for block in now.blocks):
            yield f"the rows of {was.part.name} are gone · {rows} of {rows} rows"
    if before.script and before.script.name and not (after.script and after.script.name):
        count = len(before.script.blocks)
        yield f"the lap script's variable {before.script.name!r} is gone · {count} of {count} drivers"


def _gone(before: Coverage, after: Coverage, fields: Sequence[FieldLine]) -> Iterator[str]:
    """What was there and is not, the most telling first: places, then values."""
    lost = [
        (before[name], now)
        for name, now in after.items()
        if name in before and before[name].selector and before[name].found and not now.found
    ]
    lost.sort(key=lambda pair: (not pair[0].usual and pair[0].share < 1, pair[1].placed > 0))
    moved = {line.field: line.now for line in fields if line.status == MOVED}
    for was, now in lost:
        places = now.looked or was.looked
        unit = f"{places} of {places} {'rows' if was.looked > 1 or was.title else 'places'}"
        elsewhere = f" · its values stand in {moved[was.field]!r}" if moved.get(was.field) else ""
        if was.title and not now.placed:
            yield f"column {was.title!r} is gone · {unit}{elsewhere}"
        elif was.field.startswith("script."):
            yield f"the lap script's key {was.selector!r} is gone · {places} of {places}"
        elif not now.placed:
            yield f"{was.field} is gone ({was.selector.partition(' | ')[0]}) · {unit}{elsewhere}"
        else:
            yield f"{was.field} has no value · {unit}{elsewhere}"


# ---------------------------------------------------------------- fields


def _fields(
    before: Trace,
    after: Trace,
    readings: tuple[Coverage, Coverage],
    outlines: tuple[Outline, Outline],
    proposal: Proposal | None,
    added: Mapping[str, Any] | None,
) -> Iterator[FieldLine]:
    nodes = _nodes(before), _nodes(_widened(after, proposal, added))
    found = {one.field: one for one in proposal.fields} if proposal else {}
    for name, was in readings[0].items():
        if name in found or not was.selector or (proposal is not None and name.startswith("script.")):
            continue
        now = readings[1].get(name)
        lost = was.found and not (now and now.found)
        found[name] = FieldFinding(
            name, None, LOST if lost else OK, was.selector, None, was.sample or "", now.sample if now else None,
            now.found if now else 0, now.looked if now else 0,
        )  # fmt: skip
    for name, one in found.items():
        yield FieldLine(
            field=name,
            part=one.part,
            status=one.status,
            selector=one.old,
            known=one.known,
            now=one.new,
            found=one.found,
            support=one.support,
            of=one.of,
            runner_up=one.runner_up,
            runner_up_support=one.runner_up_support,
            note=one.note,
            old_lines=outlines[0].lines_of(nodes[0].get(name, [])),
            new_lines=outlines[1].lines_of(nodes[1].get(name, [])),
        )


def _widened(after: Trace, proposal: Proposal | None, added: Mapping[str, Any] | None) -> Trace:
    """The new page looked at with what is proposed, so that it shows where fields stand now."""
    if proposal is None or not proposal.addition:
        return after
    try:
        contract = load_contract(PageType(proposal.page_type), merged(dict(added or {}), proposal.addition))
    except ContractError:
        return after
    return trace_page(after.page, contract)


def _nodes(seen: Trace) -> dict[str, list[Any]]:
    nodes: dict[str, list[Any]] = {}
    for one in seen.every():
        if one.node is not None and one.place:
            nodes.setdefault(one.field.name, []).append(one.node)
    for part in seen.parts:
        for name, cell in _titled(part):
            nodes[name].append(cell)
        nodes[part.part.name] = [block.element for block in part.blocks]
        nodes[f"{part.part.name}.rows"] = [row.element for block in part.blocks for row in block.rows]
    return nodes


def _titled(part: PartTrace) -> Iterator[tuple[str, Any]]:
    """(field, the header's cell above it) of every field that is a whole cell: its title is how it is found."""
    for block in part.blocks:
        titles = {visible_text(cell): cell for cell in block.header} if block.header is not None else {}
        for row in block.rows[:1]:
            for one in row.sightings:
                if one.node is not None and one.node.getparent() is row.element and one.title in titles:
                    yield one.field.name, titles[one.title]


# ---------------------------------------------------------------- skeletons


def _compare(old: Sequence[str], new: Sequence[str]) -> Iterator[SkeletonLine]:
    matcher = difflib.SequenceMatcher(
        None, [_uncounted(line) for line in old], [_uncounted(line) for line in new], False
    )
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from (SkeletonLine(SAME, new[c + i], a + i, c + i) for i in range(b - a))
        else:
            yield from (SkeletonLine(GONE, old[i], i, None) for i in range(a, b))
            yield from (SkeletonLine(NEW, new[i], None, i) for i in range(c, d))


def _uncounted(line: str) -> str:
    """Twelve rows or ten are the same markup; two tables are not one."""
    return line if line.lstrip().startswith("table") else line.partition(" ×")[0]


def _starts(lines: Sequence[SkeletonLine]) -> tuple[int, ...]:
    return tuple(
        index for index, line in enumerate(lines) if line.kind != SAME and (index == 0 or lines[index - 1].kind == SAME)
    )


_MARKS = {SAME: " ", GONE: "-", NEW: "+"}


def _unified(lines: Sequence[SkeletonLine], context: int) -> Iterator[str]:
    near = {
        index for at, line in enumerate(lines) if line.kind != SAME for index in range(at - context, at + context + 1)
    }
    last = -1
    for index, line in enumerate(lines):
        if index in near:
            if index != last + 1:
                yield "…"
            yield f"{_MARKS[line.kind]} {line.text}"
            last = index


def _side_by_side(lines: Sequence[SkeletonLine]) -> Iterator[tuple[str, str, str]]:
    gone: list[str] = []
    new: list[str] = []

    def replaced() -> Iterator[tuple[str, str, str]]:
        for index in range(max(len(gone), len(new))):
            left = gone[index] if index < len(gone) else ""
            right = new[index] if index < len(new) else ""
            yield ("changed" if left and right else GONE if left else NEW, left, right)
        gone.clear()
        new.clear()

    for line in lines:
        if line.kind == SAME:
            yield from replaced()
            yield SAME, line.text, line.text
        else:
            (gone if line.kind == GONE else new).append(line.text)
    yield from replaced()
