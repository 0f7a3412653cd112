"""The drift bench: every kind of mutation on simulated and real pages, as one table; fails where a requirement does.

    python -m benchmarks.drift [--quick] [KIND…]

Required: no alarm over unchanged pages; every changed page is refused or read right; at least 95 % of the fields that
an added selector can bring back are proposed right; no proposal that calls itself proven reads anything wrongly.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from benchmarks.drift import corpus, relocation
from benchmarks.drift.altering import ALTERING, MIXES
from benchmarks.drift.corpus import EventPages, Source
from benchmarks.drift.kinds import EVENT, RACE, Kind
from benchmarks.drift.noticing import Fate, Noticed, judge, notice, notice_all
from benchmarks.drift.redesigns import REDESIGNS
from benchmarks.drift.repairing import Repaired, repair, sources_of
from benchmarks.drift.structural import STRUCTURAL

KINDS: tuple[Kind, ...] = (*STRUCTURAL, *REDESIGNS, *ALTERING)
PROPOSED_RIGHT = 0.95
TRIES = 4  # times that a kind which draws a place at random is tried on a page
PAGES = 3  # pages of an event that such a kind is tried on


class Corpus(Struct):
    """All pages of one origin."""

    name: str
    events: Sequence[EventPages]
    above: Sequence[Source]


class Line(Struct):
    """One kind on one page type, over every origin."""

    name: str
    page_type: str
    fates: Counter[Fate] = Counter()
    wrong: str = ""  # the first difference that would have been published
    noticed_by: Counter[str] = Counter()
    fields: int = 0
    proposed: int = 0
    missed: tuple[str, ...] = ()
    falsely_proven: str = ""
    relocated: tuple[int, int, int] | None = None  # right, silently wrong, lost


def main(arguments: Sequence[str]) -> int:
    started = time.perf_counter()
    quick = "--quick" in arguments
    names = {name for name in arguments if not name.startswith("-")}
    corpora = [Corpus("simulated", *corpus.simulated()), Corpus("real", *corpus.real())]
    if not corpora[1].events:
        print(f"the real pages are not at {corpus.REAL}: simulated ones only", file=sys.stderr)
    alarms, controls = false_alarms(corpora)
    lines = list(measure(corpora, names, quick=quick))
    print(render(lines))
    print(verdict(lines, alarms, controls))
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 0 if passed(lines, alarms) else 1


# ---------------------------------------------------------------- measuring


def false_alarms(corpora: Iterable[Corpus]) -> tuple[list[str], int]:
    """Unchanged pages that are not read right: (which, of how many)."""
    alarms, count = [], 0
    for one in corpora:
        for event in one.events:
            count += len(event.sources)
            found = judge({source.ref.url: source.body for source in event.sources}, event.sources, event)
            alarms += [f"{event.name}: {found.why}"] if found.fate is not Fate.READ_RIGHT else []
        for source in one.above:
            count += 1
            found = judge({source.ref.url: source.body}, [source], None)
            alarms += [f"{source.ref.url}: {found.why}"] if found.fate is not Fate.READ_RIGHT else []
    return alarms, count


def measure(corpora: Sequence[Corpus], names: set[str], *, quick: bool = False) -> Iterator[Line]:
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        for page_type in kind.changes:
            line = Line(kind.name, page_type, Counter(), noticed_by=Counter())
            for one in corpora:
                for found in _fates(kind, page_type, one, quick=quick):
                    _count(line, found)
                if page_type in kind.moves:
                    _count_repair(line, repair(kind, page_type, sources_of(page_type, one.events, one.above)))
                    if page_type == RACE and not quick and one.events and relocation.is_available():
                        _count_relocation(line, kind, one)
            yield line
    for name, (_, changes) in MIXES.items():
        if not names or name in names:
            for page_type in changes:
                line = Line(name, page_type, Counter(), noticed_by=Counter())
                for found in _mixed(name, page_type, corpora):
                    _count(line, found)
                yield line


def _fates(kind: Kind, page_type: str, one: Corpus, *, quick: bool) -> Iterator[Noticed | None]:
    for event in one.events:
        if event.real and kind.needs_whole:
            continue
        if kind.one_page:
            for source in event.of(page_type)[: 1 if quick else PAGES]:
                for turn in range(1 if quick else TRIES):
                    yield notice(kind, source, event, f"{event.name}/{source.ref.url}/{turn}")
        else:
            yield notice_all(kind, event, page_type, event.name, most=1 if quick else PAGES)
    for source in one.above:
        # An event page without its races is judged by nobody; the real entry list is cut.
        if source.page_type == page_type and page_type != EVENT and not (source.real and kind.needs_whole):
            yield notice(kind, source, None, source.ref.url)


def _mixed(name: str, page_type: str, corpora: Sequence[Corpus]) -> Iterator[Noticed | None]:
    change = MIXES[name][1][page_type]
    events = [event for one in corpora for event in one.events]
    for event in events:
        strangers = [source for other in events if other is not event for source in other.of(page_type)][:1]
        own = event.of(page_type)
        for source in own[:PAGES]:
            for other in [*(one for one in own if one is not source), *strangers][:2] + strangers:
                text = change(source.body.decode(), other.body.decode())
                if text != source.body.decode():
                    yield judge({source.ref.url: text.encode()}, [source], event)


def _count(line: Line, found: Noticed | None) -> None:
    if found is None:
        return
    line.fates[found.fate] += 1
    if found.fate is Fate.WRONG:
        line.wrong = line.wrong or found.why
    elif found.fate is Fate.REFUSED:
        line.noticed_by[found.why] += 1


def _count_repair(line: Line, done: Repaired | None) -> None:
    if done is not None:
        line.fields += done.fields
        line.proposed += done.right
        line.missed += done.missed
        line.falsely_proven = line.falsely_proven or done.wrong


def _count_relocation(line: Line, kind: Kind, one: Corpus) -> None:
    found = relocation.relocate(kind, sources_of(RACE, one.events, ())[0])
    if found is not None:
        before = line.relocated or (0, 0, 0)
        line.relocated = (before[0] + found.right, before[1] + found.wrong, before[2] + found.lost)


# ---------------------------------------------------------------- telling


def render(lines: Sequence[Line]) -> str:
    """The table as text."""
    rows = [("mutation", "page", "refused", "right", "WRONG", "noticed by", "proposed", "Scrapling")]
    for line in lines:
        moved = line.relocated
        rows.append(
            (
                line.name,
                line.page_type,
                str(line.fates[Fate.REFUSED] or "·"),
                str(line.fates[Fate.READ_RIGHT] or "·"),
                str(line.fates[Fate.WRONG] or "·"),
                next((why for why, _ in line.noticed_by.most_common(1)), "")[:38],
                f"{line.proposed}/{line.fields}" if line.fields else "·",
                f"{moved[0]}/{sum(moved)}, {moved[1]} wrong" if moved else "·",
            )
        )
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def passed(lines: Sequence[Line], alarms: Sequence[str]) -> bool:
    fields = sum(line.fields for line in lines)
    proposed = sum(line.proposed for line in lines)
    return not (
        alarms
        or any(line.fates[Fate.WRONG] or line.falsely_proven or not line.fates for line in lines)
        or proposed < PROPOSED_RIGHT * fields
    )


def verdict(lines: Sequence[Line], alarms: Sequence[str], controls: int) -> str:
    """What was required, what came out, and every failure by name."""
    fates = sum((line.fates for line in lines), Counter[Fate]())
    fields, proposed = sum(line.fields for line in lines), sum(line.proposed for line in lines)
    moved = [line.relocated for line in lines if line.relocated]
    right, wrong, lost = (sum(one[index] for one in moved) for index in range(3))
    kinds = len({line.name for line in lines})
    said = [
        "",
        f"{kinds} kinds of mutation, {fates.total():,} changed pages and events",
        f"published wrongly:            {fates[Fate.WRONG]:>6}  (required: 0)",
        f"refused:                      {fates[Fate.REFUSED]:>6}",
        f"read right:                   {fates[Fate.READ_RIGHT]:>6}",
        f"alarms over unchanged pages:  {len(alarms):>6}  of {controls} (required: 0)",
        f"fields proposed right:        {_share(proposed, fields)}  (required: {PROPOSED_RIGHT:.0%})",
        f"proven and yet wrong:         {sum(bool(line.falsely_proven) for line in lines):>6}  (required: 0)",
    ]
    if moved:
        said.append(
            f"Scrapling, columns of races:  {_share(right, right + wrong + lost)}, {wrong} silently wrong, {lost} lost"
        )
    said += [f"FALSE ALARM {alarm}" for alarm in alarms]
    for line in lines:
        place = f"{line.name} on {line.page_type}"
        said += [f"PUBLISHED WRONGLY {place}: {line.wrong}"] if line.fates[Fate.WRONG] else []
        said += [f"NOT PROPOSED {place}: {', '.join(line.missed)}"] if line.missed else []
        said += [f"PROVEN AND WRONG {place}: {line.falsely_proven}"] if line.falsely_proven else []
        said += [f"NEVER TRIED {place}"] if not line.fates else []
    return "\n".join(said)


def _share(part: int, whole: int) -> str:
    return f"{part:>6} of {whole} ({part / whole:.1%})" if whole else "none to propose"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
