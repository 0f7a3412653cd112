"""The checks that read a run back: its hash, its laps, its order, its export, and the pages it was made from.

Every run that must be whole is loaded once, as an export would; the served one is also held against its archived pages,
read again by the readers of today.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pipeline import document, records
from pipeline.errors import PipelineError
from pipeline.findings import Finding, Severity
from pipeline.liverc.readers import Readers
from pipeline.race_checks import check_results
from pipeline.replay import Pages, archived_pages, read_pages
from pipeline.store import export
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store
from pipeline.violations import Violation, some


@dataclass(frozen=True)
class KeptRun:
    """One sealed run with its document."""

    store: Store
    archive: PageArchive | None
    readers: Readers
    event_id: int
    event_name: str  # slug/id
    run_id: int
    served: bool
    document_sha256: str
    parser_build: str | None
    pages_manifest: str | None

    @cached_property
    def document(self) -> records.Event:
        return export.load_event(self.store, self.event_id, self.run_id)

    @cached_property
    def broken_rules(self) -> list[Violation]:
        """The rules of publishing that a race of the document breaks for certain."""
        races = self.document.races
        broken = [one for race in races for one in check_results(race.source_race_id, race.results)]
        return [one for one in broken if one.severity == "error"]

    @cached_property
    def bodies(self) -> list[tuple[str, bytes]]:
        """The archived pages that the run was made from."""
        assert self.archive is not None
        assert self.pages_manifest is not None
        return archived_pages(self.archive, self.pages_manifest)

    @cached_property
    def pages(self) -> Pages:
        return read_pages(self.bodies, self.readers)

    def finding(self, check: str, message: str, *, severity: Severity = "error", **facts: object) -> Finding:
        """What is wrong with a run that nothing serves is only told: nobody can put it right, and nobody reads it."""
        return Finding(
            check=check,
            severity=severity if self.served else "warning",
            message=f"run {self.run_id}{'' if self.served else ' (not served)'}: {message}",
            event=self.event_name,
            event_id=self.event_id,
            run_id=self.run_id,
            facts={name: value for name, value in facts.items() if value is not None},
        )


DocumentCheck = Callable[[KeptRun], Iterator[Finding]]


# ---------------------------------------------------------------- the document on its own


def document_hash(run: KeptRun) -> Iterator[Finding]:
    """The rows still give the document that was published, to the last character."""
    found = document.sha256(run.document)
    if found != run.document_sha256:
        yield run.finding(
            "document-hash", "its rows give another document than the one that was published",
            published=run.document_sha256, found=found,
        )  # fmt: skip


_CHECK_OF_RULE = {
    "laps-missing": "lap-counts",
    "lap-count-short": "lap-counts",
    "lap-numbers": "laps",
    "lap-elapsed": "laps",
    "lap-time-negative": "laps",
    "driver-id-duplicate": "natural-keys",
    "position-range": "ordering",
}


def _race_rules(check: str) -> DocumentCheck:
    """The rules of publishing that say a race cannot be right, of those that belong to one check."""

    def judge(run: KeptRun) -> Iterator[Finding]:
        for broken in run.broken_rules:
            if _CHECK_OF_RULE.get(broken.rule, "values") == check:
                yield run.finding(check, broken.message, race_id=broken.race_id, driver=broken.driver, rule=broken.rule)

    return judge


def ordering(run: KeptRun) -> Iterator[Finding]:
    """Races are numbered 1 to n in the order of their completion, results stand by position."""
    races = run.document.races
    if [race.race_order for race in races] != list(range(1, len(races) + 1)):
        yield run.finding("ordering", f"its races are not numbered 1 to {len(races)}")
    times = [_completed(race) for race in races if race.completed_at_local is not None]
    if times != sorted(times):
        yield run.finding("ordering", "its races do not stand in the order in which they were completed")
    for race in races:
        positions = [result.position for result in race.results]
        if positions != sorted(positions):
            yield run.finding(
                "ordering",
                f"the results of race {race.source_race_id} do not stand by position",
                race_id=race.source_race_id,
            )


def _completed(race: records.Race) -> str:
    at = race.completed_at_local or ""
    return at if "T" in at else f"{at}T00:00:00"


def stable_export(run: KeptRun) -> Iterator[Finding]:
    """Exporting twice gives the same bytes, and what was exported can be read back."""
    first = document.encode(run.document)
    if document.encode(export.load_event(run.store, run.event_id, run.run_id)) != first:
        yield run.finding("export", "two exports of it differ")
    if document.encode(document.decode(first)) != first:
        yield run.finding("export", "its export is not what it says when it is read back")


DOCUMENT_CHECKS: dict[str, tuple[DocumentCheck, ...]] = {
    "document-hash": (document_hash,),
    "lap-counts": (_race_rules("lap-counts"),),
    "laps": (_race_rules("laps"),),
    "natural-keys": (_race_rules("natural-keys"),),
    "values": (_race_rules("values"),),
    "ordering": (ordering, _race_rules("ordering")),
    "export": (stable_export,),
}


# ---------------------------------------------------------------- the document against its pages


def archive(run: KeptRun) -> Iterator[Finding]:
    """The pages are still there, as they were. Without them the event is served well, but could not be rebuilt."""
    if run.pages_manifest is None:
        yield run.finding("archive", "the pages it was made from were not kept", severity="warning")
        return
    try:
        assert run.bodies is not None
    except PipelineError as error:
        yield run.finding("archive", error.message, severity="warning")


def archived_races(run: KeptRun) -> Iterator[Finding]:
    """Every race that the event page listed is there, and no other."""
    assert run.pages.event is not None
    listed = {link.source_race_id for link in run.pages.event.races}
    held = {race.source_race_id for race in run.document.races}
    for ids, what in ((listed - held, "lacks"), (held - listed, "holds, though the event page does not list them,")):
        if ids:
            yield run.finding(
                "archived-races", f"it {what} {len(ids)} races: {some(sorted(ids))}",
                severity=_severity(run), races=sorted(ids),
            )  # fmt: skip


def archived_drivers(run: KeptRun) -> Iterator[Finding]:
    """Every driver of every race page has a result, and nobody else."""
    for race, page in _pairs(run):
        shown = Counter(_driver(result) for result in document.race_results(page))
        held = Counter(_driver(result) for result in race.results)
        for names, what in ((shown - held, "lacks"), (held - shown, "holds, though its page does not,")):
            if names:
                drivers = sorted(name for name, _ in names.elements())
                yield run.finding(
                    "archived-drivers", f"race {race.source_race_id} {what} {len(drivers)} drivers: {some(drivers)}",
                    severity=_severity(run), race_id=race.source_race_id, drivers=drivers,
                )  # fmt: skip


def archived_laps(run: KeptRun) -> Iterator[Finding]:
    """Every driver has as many laps as the race page holds."""
    for race, page in _pairs(run):
        held, shown = _laps_by_driver(race.results), _laps_by_driver(document.race_results(page))
        for driver in held.keys() & shown.keys():
            if held[driver] != shown[driver]:
                yield run.finding(
                    "archived-laps",
                    f"{driver[0]} has {sum(held[driver])} laps in race {race.source_race_id}, "
                    f"its page holds {sum(shown[driver])}",
                    severity=_severity(run),
                    race_id=race.source_race_id,
                    driver=driver[0],
                )


def archived_document(run: KeptRun) -> Iterator[Finding]:
    """Reading the pages again gives the document that was published."""
    found = document.sha256(run.pages.build())
    if found != run.document_sha256:
        why = "the readers have changed since" if _readers_changed(run) else "the readers have not changed since"
        yield run.finding(
            "archived-document", f"its pages give another document today; {why}",
            severity=_severity(run), published=run.document_sha256, found=found,
        )  # fmt: skip


def determinism(run: KeptRun) -> Iterator[Finding]:
    """Three replays of the same pages, in three orders, give one document."""
    orders = (run.bodies, run.bodies[::-1], sorted(run.bodies))
    found = {document.sha256(read_pages(order, run.readers).build()) for order in orders}
    if len(found) > 1:
        yield run.finding("determinism", f"three replays of its pages gave {len(found)} documents", found=sorted(found))


# Of the served run, in this order; all but the first need its pages.
PAGE_CHECKS: dict[str, DocumentCheck] = {
    "archived-races": archived_races,
    "archived-drivers": archived_drivers,
    "archived-laps": archived_laps,
    "archived-document": archived_document,
}


def _pairs(run: KeptRun) -> Iterator[tuple[records.Race, records.RacePage]]:
    for race in run.document.races:
        page = run.pages.races.get(race.source_race_id)
        if page is not None:
            yield race, page


def _driver(result: records.Result) -> tuple[str, str | None]:
    return result.driver_name, result.source_driver_id


def _laps_by_driver(results: Iterable[records.Result]) -> dict[tuple[str, str | None], list[int]]:
    """How many laps each driver has; a list, for namesakes without an id."""
    laps: defaultdict[tuple[str, str | None], list[int]] = defaultdict(list)
    for result in results:
        laps[_driver(result)].append(len(result.laps))
    return {driver: sorted(counts) for driver, counts in laps.items()}


def _readers_changed(run: KeptRun) -> bool:
    return run.parser_build != run.readers.build


def _severity(run: KeptRun) -> Severity:
    """Other readers may well see a page otherwise; that is for people to judge. The same ones may not."""
    return "warning" if _readers_changed(run) else "error"
