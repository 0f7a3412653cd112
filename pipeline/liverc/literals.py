"""JavaScript literals, read as what they are: strings in any quotes with escapes, bare keys, numbers, comments, commas.

A tokenizer over a script's text; nothing is executed, nothing but literals is understood. Scalars come back as text,
since whoever asks knows what they should be and a float would lose digits. Time grows linearly with the text.
"""

from __future__ import annotations

import re

DEPTH_LIMIT = 32

STRING = (
    r"""'[^'\\\n\r]*(?:\\[\s\S][^'\\\n\r]*)*'|"[^"\\\n\r]*(?:\\[\s\S][^"\\\n\r]*)*"|`[^`\\]*(?:\\[\s\S][^`\\]*)*`"""
)
COMMENT = r"//[^\n\r\u2028\u2029]*|/\*(?:[\s\S]*?\*/)?|<!--[^\n\r]*"
OPEN_COMMENT = "/*"  # what COMMENT matches where the end is missing

_TOKEN = re.compile(
    rf"(?P<space>\s+|{COMMENT})|(?P<string>{STRING})"
    r"|(?P<number>[-+]?\.?[0-9][\w.]*(?:(?<=[eE])[-+][0-9]+)?)|(?P<word>[\w$]+)|(?P<mark>[\s\S])"
)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(\r\n|[\n\r\u2028\u2029])|(0)(?![0-9])|([\s\S]))"
)
_LETTER_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Literal = str | list["Literal"] | dict[str, "Literal"]


class UnreadableError(ValueError):
    """Why a text is no literal."""


class LiteralReader:
    """Walks over a script from `at` on. `kind` and `text` are the token it stands on, `at` is where that token ends."""

    def __init__(self, script: str, at: int) -> None:
        self.script = script
        self.at = at
        self.kind: str | None = None  # string, number, word, mark; None at the end of the script
        self.text = ""
        self.advance()

    def advance(self) -> None:
        """Step to the next token."""
        while match := _TOKEN.match(self.script, self.at):
            self.at = match.end()
            self.kind, self.text = match.lastgroup, match[0]
            if self.text == OPEN_COMMENT or (self.kind == "mark" and self.text in "'\"`"):
                raise UnreadableError("a string or comment without end")
            if self.kind != "space":
                return
        self.kind, self.text = None, ""

    def take(self, mark: str) -> bool:
        """Step over this mark if it stands here."""
        if self.text != mark or self.kind != "mark":
            return False
        self.advance()
        return True

    def key(self) -> str:
        """A key or index, quoted or not, and step over it."""
        if self.kind not in ("string", "word", "number"):
            raise self._unexpected("is no key")
        key = self._unquoted() if self.kind == "string" else self.text
        self.advance()
        return key

    def value(self, depth: int = 0) -> Literal:
        """A literal, and step over it; `null` and `undefined` are empty text."""
        if depth > DEPTH_LIMIT:
            raise UnreadableError("nested too deeply")
        if self.take("{"):
            return self._members(depth)
        if self.take("["):
            return self._items(depth)
        if self.kind == "string":
            value = self._unquoted()
        elif (self.kind == "number" and _NUMBER.fullmatch(self.text)) or self.text in ("true", "false"):
            value = self.text
        elif self.text in ("null", "undefined"):
            value = ""
        else:
            raise self._unexpected("is no literal")
        self.advance()
        return value

    def _members(self, depth: int) -> dict[str, Literal]:
        members: dict[str, Literal] = {}
        while not self.take("}"):
            key = self.key()
            if not self.take(":"):
                raise self._unexpected("after a key")
            members[key] = self.value(depth + 1)
            self._separator("}")
        return members

    def _items(self, depth: int) -> list[Literal]:
        items: list[Literal] = []
        while not self.take("]"):
            items.append(self.value(depth + 1))
            self._separator("]")
        return items

    def _separator(self, closing: str) -> None:
        if not self.take(",") and self.text != closing:
            raise self._unexpected("between two values")

    def _unquoted(self) -> str:
        body = self.text[1:-1]
        if self.text[0] == "`" and "${" in body:
            raise UnreadableError("a template string")
        if "\\" not in body:
            return body
        text = _ESCAPE.sub(_unescape, body)
        try:  # two escapes may be the halves of one character
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise UnreadableError("half a character in a string") from None

    def _unexpected(self, where: str) -> UnreadableError:
        return UnreadableError(f"{self.text[:20]!r} {where}" if self.kind else "it ends within a literal")


def _unescape(match: re.Match[str]) -> str:
    code, four, two, line_break, nul, letter = match.groups()
    if line_break:
        return ""
    if code or four or two or nul:
        number = int(code or four or two or nul, 16)
        if not 0 < number <= 0x10FFFF:  # no database keeps a NUL in a text
            raise UnreadableError("a character that cannot be kept")
        return chr(number)
    if letter in "0123456789xu":
        raise UnreadableError(f"the escape \\{letter}")
    return _LETTER_ESCAPES.get(letter, letter)
