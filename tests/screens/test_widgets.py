"""The parts of the screens without a screen: columns that fit, runs in words, the log's window, the first line."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.errors import Kind
from pipeline.snapshot import LogLine
from pipeline.verdicts import Verdict
from screens import words
from screens.rows import EVENT_COLUMNS, event_row
from screens.widgets.header import Facts, header_line
from screens.widgets.log import LogBook
from screens.widgets.runs import RunCard, run_lines
from screens.widgets.table import GAP, MARGIN, Column, cut, fit
from tests.screens.fakes import EVENTS, LIVE, LOCKS, NOW, failure, lock, log_lines, served

COLUMNS = st.lists(
    st.builds(
        Column,
        title=st.just(""),
        width=st.integers(1, 30),
        flex=st.integers(0, 4),
        rank=st.integers(0, 3),
    ),
    min_size=1,
    max_size=9,
)
TEXT = st.text(max_size=60)


# ---------------------------------------------------------------- columns and cells


@given(COLUMNS, st.integers(0, 250))
def test_columns_never_take_more_than_there_is_unless_none_may_go_any_more(columns: list[Column], width: int) -> None:
    widths = fit(columns, width)
    shown = [index for index, one in enumerate(widths) if one]
    taken = sum(widths) + GAP * (len(shown) - 1) + 2 * MARGIN
    rigid = all(columns[index].rank == 0 for index in shown)
    assert taken <= width or rigid
    assert all(widths[index] for index, column in enumerate(columns) if column.rank == 0)
    if taken < width:
        assert not any(columns[index].flex for index in shown)


@given(COLUMNS, st.integers(0, 250))
def test_what_matters_least_goes_first(columns: list[Column], width: int) -> None:
    widths = fit(columns, width)
    gone = [column.rank for column, one in zip(columns, widths, strict=True) if not one]
    shown = [column.rank for column, one in zip(columns, widths, strict=True) if one]
    assert not gone or min(gone) >= max(shown, default=0)


@given(TEXT.map(words.clean), st.integers(0, 40), st.booleans(), st.booleans())
def test_a_cell_takes_exactly_its_width(text: str, width: int, right: bool, keep_end: bool) -> None:
    assert cell_len(cut(text, width, right=right, keep_end=keep_end)) == width


def test_a_cut_name_shows_that_something_is_missing() -> None:
    assert cut("canberraoffroad", 8) == "canberr…"
    assert cut("canberraoffroad/486677", 10, keep_end=True) == "…ad/486677"
    assert cut("17", 5, right=True) == "   17"


@given(TEXT)
def test_no_text_from_outside_reaches_the_terminal_with_control_characters(text: str) -> None:
    assert all(
        character.isprintable() or character == "\xa0" or not character.isascii() for character in words.clean(text)
    )
    assert "\x1b" not in words.clean(text + "\x1b[2J\u202e")


# ---------------------------------------------------------------- words


def test_times_in_words() -> None:
    minute, hour, day = 60_000, 3_600_000, 86_400_000
    ages = (0, 4_999, 5_000, 59_999, minute, hour - 1, hour, day - 1, 3 * day)
    assert [words.ago(NOW - age, NOW) for age in ages] == [
        "just now", "just now", "5 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "23 h ago", "3 d ago",
    ]  # fmt: skip
    assert words.ago(None, NOW) == "never"
    assert words.ago(NOW + 5_000, NOW) == "just now"  # two clocks that differ a little
    assert [words.span(s) for s in (0, 59.9, 60, 3_599, 3_600)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
    ]


def test_lap_times() -> None:
    assert [words.lap_time(ms) for ms in (None, 0, 37_234, 59_999, 60_000, 1_802_345, 3_600_000)] == [
        "–", "0.000", "37.234", "59.999", "1:00.000", "30:02.345", "1:00:00.000",
    ]  # fmt: skip


def test_every_state_is_told_by_glyph_word_and_tone() -> None:
    for tell, names in (
        (words.state, ("idle", "running", "complete", "failed", "new")),
        (words.verdict, ("ALIVE", "STOPPED", "DEAD", "UNKNOWN")),
    ):
        told = [tell(name) for name in names]
        assert all(name.lower() in phrase.text for name, phrase in zip(names, told, strict=True))
        assert len({phrase.text[0] for phrase in told}) == len(names)


# ---------------------------------------------------------------- rows of events


def what_is_known(number: int) -> str:
    live, locks = {run.event_id: run for run in LIVE}, {held.event_id: held for held in LOCKS}
    return event_row(EVENTS[number], NOW, live, locks).cells[-1].text


def test_what_is_known_of_each_kind_of_event() -> None:
    assert [what_is_known(number) for number in range(len(EVENTS))] == [
        "fetch, 12 of 34 pages",
        "holder dead: process 4690 does not exist any more",
        "parse: the answer for race 6304829 is not a race result page; still serving run 41",
        "normalise: event 4864 has no races on its page; nothing served",
        "run 33",
        "run 29, found unchanged 7 min ago",
        "not ingested yet",
    ]
    assert len(event_row(EVENTS[0], NOW, {}, {}).cells) == len(EVENT_COLUMNS)


def test_the_address_of_a_page_is_said_in_a_few_words() -> None:
    url = "https://thornhill.liverc.com/results/?p=view_race_result&id=6304829"
    told = failure(
        Kind.PAGE_UNRECOGNISED,
        f"{url} is not the page that was asked for",
        url=url,
        page_type="race_result",
        race_id="6304829",
    )
    line = served(3, 41, 5, state="failed", failure=told.envelope())
    assert event_row(line, NOW, {}, {}).cells[-1].text == (
        "parse: race result 6304829 is not the page that was asked for; still serving run 41"
    )


# ---------------------------------------------------------------- runs


@given(st.integers(20, 200), st.integers(0, 40), st.sampled_from([None, 0, 1, 40]), st.none() | st.floats(0, 500))
def test_a_run_is_told_within_the_width(width: int, done: int, total: int | None, rate: float | None) -> None:
    run = msgspec.structs.replace(LIVE[0], pages_done=done, pages_total=total)
    for line in run_lines(RunCard(run, rate, LOCKS[1]), width):
        text = "".join(phrase.text for phrase in line)
        assert cell_len(text) <= max(width, 60) or "│" in text


def lines_of(card: RunCard, width: int = 100) -> list[str]:
    return ["".join(phrase.text for phrase in line).rstrip() for line in run_lines(card, width)]


def test_a_run_tells_how_far_how_fast_and_for_how_long() -> None:
    title, progress, timeline = lines_of(RunCard(LIVE[0], 4.0, lock(1, 60, Verdict.ALIVE, "")))
    assert title.startswith("◐ thornhill/4861  Winter Series Round 3")
    assert title.endswith("run 60 · console · 14 s")
    assert progress.startswith("page 13 of 34  ━━━")
    assert progress.endswith("35 %  4.0 pages/s  5 s left")
    assert timeline.startswith("▸fetch 12.9 s ▬▬▬")
    assert [part.split()[0] for part in timeline.split(" │ ")] == [
        "▸fetch",
        "▸parse",
        "normalise",
        "validate",
        "publish",
    ]


def test_stages_that_are_over_are_ticked_off() -> None:
    timeline = lines_of(RunCard(LIVE[1], None, None))[2]
    assert [part.split()[0] for part in timeline.split(" │ ")] == [
        "✓fetch",
        "✓parse",
        "✓normalise",
        "✓validate",
        "▸publish",
    ]


def test_a_run_without_a_total_yet_says_what_it_does() -> None:
    begun = msgspec.structs.replace(LIVE[0], stage=None, pages_done=0, pages_total=None, stage_ms={})
    assert lines_of(RunCard(begun, None, None))[1] == "reading the event page"


def test_a_holder_that_may_be_gone_is_told_and_a_living_one_is_not() -> None:
    gone = lines_of(RunCard(LIVE[0], None, lock(1, 60, Verdict.STOPPED, "process 4711 is suspended")))
    assert gone[3] == "▲ its holder is stopped: process 4711 is suspended"
    assert len(lines_of(RunCard(LIVE[0], None, lock(1, 60, Verdict.ALIVE, "runs")))) == 3


# ---------------------------------------------------------------- the log's window


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 40), st.sampled_from(words.SEVERITIES))
def test_the_window_holds_the_newest_lines_and_counts_what_it_lets_go(
    batches: list[int], keep: int, level: str
) -> None:
    book, first, position = LogBook(level), 1, 0
    everything: list[LogLine] = []
    for size in batches:
        lines = log_lines(size, first=first)
        first += size
        everything += lines
        on_top = book.shown[position] if position < len(book.shown) else None
        fresh, gone = book.add(lines, keep=keep)
        kept = everything[-keep:]
        rank = words.SEVERITIES.index
        assert book.shown == [line for line in kept if rank(line.severity) >= rank(level)]
        assert fresh == sum(rank(line.severity) >= rank(level) for line in lines)
        if on_top is not None and on_top in book.shown:
            assert book.shown[position - gone] == on_top  # a reader who moves up by `gone` sees the same line
        position = len(book.shown) // 2


def test_an_unknown_severity_is_never_hidden() -> None:
    book = LogBook("error")
    odd = msgspec.structs.replace(log_lines(1)[0], severity="fatal")
    book.add((odd,), keep=10)
    assert book.shown == [odd]


# ---------------------------------------------------------------- the first line


@given(
    width=st.integers(60, 250),
    database=st.text("abc/", max_size=120),
    number=st.integers(0, 10**6),
    warnings=st.integers(0, 99),
    age=st.none() | st.floats(0, 10**5),
)
def test_the_first_line_always_says_how_old_it_is_and_what_waits(
    width: int, database: str, number: int, warnings: int, age: float | None
) -> None:
    facts = Facts(database, "liverc.com", number, number, number, number, number, number, warnings, age)
    text = "".join(phrase.text for phrase in header_line(facts, width))
    assert cell_len(text) <= width
    assert ("warning" in text) == bool(warnings)
    assert any(word in text for word in ("live", " old", "reading"))


def test_an_idle_event_that_is_served_counts() -> None:
    assert event_row(served(5, 33, 3), NOW, {}, {}).cells[7].text == "5,794"
