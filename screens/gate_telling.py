"""Page sets told: what is kept, how it reads today, which side moved, how a replay went; and pages read again.

Pure functions from the pipeline's values to rows and lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from screens.drift_telling import heading, set_state
from screens.telling import Line
from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, clean, count, moment, or_dash

if TYPE_CHECKING:
    from pipeline.differences import Difference
    from pipeline.fixture_check import FixtureCheck
    from pipeline.fixture_view import FixtureDetail, FixtureLine
    from pipeline.page_diff import Reparse
    from pipeline.replaying import ReplayReport

DIFFERENCES_SHOWN = 40
VALUES_SHOWN = 60

FIXTURE_COLUMNS = (
    Column("Event", 8),
    Column("From", 8),
    Column("Ver", 3, right=True),
    Column("Reads", 14),
    Column("Races", 5, right=True),
    Column("Laps", 6, right=True),
    Column("Pages", 5, right=True, rank=1),
    Column("Build", 6, rank=3),
    Column("Captured", 10, rank=2),
    Column("What is known", 12, flex=4),
)


def fixture_row(line: FixtureLine) -> Row:
    replay = line.replay
    what = (
        f"{clean(replay.field)}: {clean(replay.first_difference)}" if replay.passed is False else clean(line.made_from)
    )
    return Row(
        line.event_id,
        (
            Phrase(clean(line.event_id)),
            Phrase(clean(line.origin), Tone.QUIET),
            Phrase(str(line.version)),
            set_state(replay),
            Phrase(or_dash(line.races)),
            Phrase(f"{line.laps:,}"),
            Phrase(str(line.pages), Tone.QUIET),
            Phrase(or_dash(line.build_marker), Tone.QUIET),
            Phrase(or_dash(line.captured_at)[:10], Tone.QUIET),
            Phrase(what, Tone.BAD if replay.passed is False else Tone.QUIET),
        ),
    )


def about_set(line: FixtureLine) -> list[Phrase]:
    """One page set in a few words."""
    replay = line.replay
    said = [
        Phrase(f"{clean(line.track) or '–'}/{clean(line.event_id)} v{line.version}, {clean(line.origin)}: ", Tone.BUSY)
    ]
    said.append(set_state(replay))
    if replay.passed is False:
        more = f" and {replay.differences - 1} more" if replay.differences > 1 else ""
        said.append(Phrase(f"  {clean(replay.field)}: {clean(replay.first_difference)}{more}", Tone.BAD))
    else:
        said.append(Phrase(f"  {clean(line.made_from)}; {clean(line.how)}", Tone.QUIET))
    return said


def fixture_lines(detail: FixtureDetail) -> list[Line]:
    """One page set with everything that is kept of it."""
    line = detail.line
    what = f"{count(line.races or 0, 'race')}, {count(line.laps, 'lap')}, {count(line.pages, 'page')}"
    lines: list[Line] = [
        about_set(line),
        [Phrase(f"{what}; captured {or_dash(line.captured_at)} by {or_dash(line.how)}")],
        [Phrase(f"sha256 {line.sha256}", Tone.QUIET)],
        [Phrase(clean(str(line.folder)), Tone.QUIET)],
    ]
    if detail.redacted:
        masked = ", ".join(f"{number} {clean(name)}" for name, number in detail.redacted.items())
        lines.append([Phrase(f"masked: {masked}", Tone.QUIET)])
    lines += heading("Its pages")
    for page in detail.pages:
        lines.append([Phrase(clean(page.name)), Phrase(f"  {page.size:,} bytes  {clean(page.url)}", Tone.QUIET)])
    if detail.history:
        lines += heading("Its history")
        for step in detail.history:
            case = f", drift case {step.case_id}" if step.case_id is not None else ""
            lines.append(
                [Phrase(f"v{step.fixture_version} {clean(step.how)} by {clean(step.who)}{case}: {clean(step.reason)}")]
            )
            lines.append([Phrase(f"    {moment(step.at)}", Tone.QUIET)])
    if detail.notes.strip():
        lines += heading("Notes")
        lines += [[Phrase(clean(text), Tone.QUIET)] for text in detail.notes.strip().splitlines()]
    return lines


def check_lines(check: FixtureCheck) -> list[Line]:
    """Which side moved."""
    said = clean(check.headline)
    lines: list[Line] = [[Phrase(said[:1].upper() + said[1:], Tone.BAD if check.moved else Tone.GOOD)]]
    lines += [
        [Phrase(f"✗ the {name} moved", Tone.BAD) if name in check.moved else Phrase(f"● the {name} did not", Tone.GOOD)]
        for name in ("page", "expectation", "reader")
    ]
    if check.failure:
        lines += [[], [Phrase(clean(check.failure), Tone.BAD)]]
    if check.differences:
        lines += [*heading(f"{clean(check.against)}, in which fields"), *_differences(check.differences)]
    if check.replay.differences:
        lines += [*heading("The set itself, otherwise than expected"), *_differences(check.replay.differences)]
    return lines


def replay_lines(report: ReplayReport) -> list[Line]:
    """How a replay went, and in which fields it came out otherwise."""
    times = f"{report.runs} times in {report.seconds:.1f} s"
    mode = f"{clean(report.source)} · {report.mode}"
    if report.passed:
        lines: list[Line] = [[Phrase("● It comes out as expected, and the same every time. ", Tone.GOOD)]]
    else:
        lines = [[Phrase("✗ It comes out otherwise. ", Tone.BAD)]]
    lines.append([Phrase(f"{mode} · {times}", Tone.QUIET)])
    if report.sha256:
        lines.append([Phrase(f"document {report.sha256}", Tone.QUIET)])
    if report.into:
        lines.append([Phrase(f"written into {clean(report.into)}", Tone.QUIET)])
    if report.failure:
        lines += [[], [Phrase(clean(report.failure), Tone.BAD)]]
    if report.differences:
        lines += [*heading("Otherwise than expected"), *_differences(report.differences)]
    if report.unstable:
        lines += [*heading("Not the same every time"), *_differences(report.unstable)]
    return lines


def _differences(found: tuple[Difference, ...]) -> list[Line]:
    lines: list[Line] = []
    for one in found[:DIFFERENCES_SHOWN]:
        got = f"got {clean(one.got) or 'nothing'}"
        lines.append(
            [Phrase(f"{clean(one.where)}: "), Phrase(f"expected {clean(one.expected) or 'nothing'}, {got}", Tone.WARN)]
        )
    if len(found) > DIFFERENCES_SHOWN:
        lines.append([Phrase(f"and {len(found) - DIFFERENCES_SHOWN} more", Tone.QUIET)])
    return lines


def reparse_lines(said: Reparse) -> list[Line]:
    """A stored page read again: what it says, or why it cannot be read."""
    lines: list[Line] = [[Phrase(f"{clean(said.page_type)}  {clean(said.url)}", Tone.QUIET)], []]
    if said.failure is not None:
        lines.append([Phrase(f"✗ {clean(said.failure)}", Tone.BAD)])
        if said.field:
            lines.append([Phrase("field: ", Tone.QUIET), Phrase(clean(said.field))])
        return lines
    mark = Phrase("▲ It reads, and is doubted.", Tone.WARN) if said.doubts else Phrase("● It reads.", Tone.GOOD)
    lines.append([mark, Phrase("  Nothing was fetched or written.", Tone.QUIET)])
    lines += [[Phrase(f"▲ {clean(why)}", Tone.WARN)] for why in said.doubts[:DIFFERENCES_SHOWN]]
    lines += [*heading("What the page says"), *_values(said.said or {})]
    return lines


def _values(said: Mapping[str, Any]) -> list[Line]:
    lines: list[Line] = []
    for name, value in said.items():
        if isinstance(value, list | tuple):
            lines.append([Phrase(f"{clean(name)}: ", Tone.QUIET), Phrase(f"{len(value):,}")])
            if value and isinstance(value[0], dict):
                lines += [
                    [Phrase(f"    {clean(key)}: ", Tone.QUIET), Phrase(_value(one))] for key, one in value[0].items()
                ]
        else:
            lines.append([Phrase(f"{clean(name)}: ", Tone.QUIET), Phrase(_value(value))])
    return lines[:VALUES_SHOWN]


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value):,} of them"
    return "–" if value is None else clean(str(value))
