"""What each tone looks like in text that is drawn as content rather than line by line."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from screens.words import Phrase, Tone

STYLES = {
    Tone.PLAIN: "$foreground",
    Tone.QUIET: "$foreground 60%",
    Tone.GOOD: "$text-success",
    Tone.BUSY: "bold $text-accent",
    Tone.WARN: "$text-warning",
    Tone.BAD: "bold $text-error",
}


def content(phrases: Iterable[Phrase]) -> Content:
    """Phrases one after the other, each in its tone. Text from outside is never read as markup."""
    return Content.assemble(*((phrase.text, STYLES[phrase.tone]) for phrase in phrases))


def lines(rows: Iterable[Iterable[Phrase]]) -> Content:
    """One line for each row of phrases."""
    return Content("\n").join([content(row) for row in rows])
