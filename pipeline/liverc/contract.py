"""What a page reader looks for, as data: `contracts/*.toml`, one file per page type, compiled here.

A contract names parts (tables or other blocks), their rows, and fields; a field is a column found by its header text or
an XPath, always as a list of alternatives, with a converter by name. Further alternatives can be merged in later, so
that a page may change its markup and old pages stay readable.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NoReturn

import msgspec
from lxml import etree
from msgspec import Struct

from pipeline.liverc.converters import CONVERTERS, Converter
from pipeline.liverc.urls import PageType

READABLE = (
    PageType.TRACK_CATALOGUE,
    PageType.TRACK_DASHBOARD,
    PageType.EVENTS_LISTING,
    PageType.EVENT,
    PageType.RACE_RESULT,
    PageType.ENTRY_LIST,
)


class ContractError(ValueError):
    """A contract file that cannot be used: a fault of the program or of a proposed repair, never of a page."""


# ---------------------------------------------------------------- the files' shape


class FieldData(Struct, frozen=True, forbid_unknown_fields=True):
    xpath: tuple[str, ...] = ()  # alternatives; inside the cell if `column` is given
    column: tuple[str, ...] = ()  # alternatives: header texts
    row_xpath: tuple[str, ...] = ()  # alternatives, from the row: where there is no such column, or an empty cell
    convert: str = "text"
    pattern: tuple[str, ...] = ()  # alternatives: the value is group 1 of the first that matches the text
    required: bool = False  # its absence, or an empty value, fails the page
    present: bool = False  # its place must be there (column, element); the value may be empty
    usual: bool = False  # its place is there on every page that was ever seen: without it a page is doubtful
    many: bool = False  # all that match, not only the first
    check_hidden: bool = False  # compare the cell's hidden sort key with the value shown


class RowsData(Struct, frozen=True, forbid_unknown_fields=True):
    at: tuple[str, ...]
    header: tuple[str, ...] = ()  # the row of column titles
    heading: tuple[str, ...] = ()  # test on a row: it is a heading for the rows below it, its text their `heading`


class PartData(Struct, frozen=True, forbid_unknown_fields=True):
    at: tuple[str, ...]
    required: bool = True
    only_first: bool = False
    field: dict[str, FieldData] = {}
    rows: RowsData | None = None
    row_field: dict[str, FieldData] = {}


class IdentityData(Struct, frozen=True, forbid_unknown_fields=True):
    title: tuple[str, ...]  # regular expressions, one of which finds something in the title
    any: tuple[str, ...] = ()  # one of these XPaths matches
    none: tuple[str, ...] = ()  # none of these does


class ScriptData(Struct, frozen=True, forbid_unknown_fields=True):
    name: tuple[str, ...]  # alternatives: the variable that the blocks are assigned to
    racer: dict[str, tuple[str, ...]]  # what `lapscript` calls a value of a block → alternatives: its key
    lap: dict[str, tuple[str, ...]]  # likewise of one lap


class ContractData(Struct, frozen=True, forbid_unknown_fields=True):
    page_type: PageType
    identity: IdentityData
    script: ScriptData | None = None
    field: dict[str, FieldData] = {}
    part: dict[str, PartData] = {}


# ---------------------------------------------------------------- compiled


class Selector(Struct, frozen=True):
    """Alternatives of one XPath; the first that finds something counts. `source` is how messages name it."""

    paths: tuple[etree.XPath, ...]
    source: str

    def find(self, context: etree._Element) -> list[Any]:
        for path in self.paths:
            found = matches(path, context)
            if found:
                return found
        return []


def matches(path: etree.XPath, context: etree._Element) -> list[Any]:
    """What one XPath finds: elements, attributes and texts; for a test that holds, where it was asked."""
    found: Any = path(context)
    if found is True:
        return [context]
    if isinstance(found, str):  # `substring-after(@id, 'driver-')`
        return [found] if found else []
    return found if isinstance(found, list) else []


class Field(Struct, frozen=True):
    name: str
    selector: Selector | None  # None: the cell itself
    columns: tuple[str, ...]  # normalised header texts
    elsewhere: Selector | None  # from the row, where there is no such column, or an empty cell
    convert: Converter
    patterns: tuple[re.Pattern[str], ...]
    required: bool
    present: bool
    usual: bool
    many: bool
    check_hidden: bool
    source: str  # how messages name the place


class Rows(Struct, frozen=True):
    at: Selector
    header: Selector | None
    heading: Selector | None


class Part(Struct, frozen=True):
    name: str
    at: Selector
    required: bool
    only_first: bool
    fields: tuple[Field, ...]
    rows: Rows | None
    row_fields: tuple[Field, ...]


class Script(Struct, frozen=True):
    """What a lap script is made of. The first key of each value is the shipped one, the others stand for it."""

    names: tuple[str, ...]
    racer: dict[str, tuple[str, ...]]
    lap: dict[str, tuple[str, ...]]
    racer_aliases: dict[str, str]  # added key → the shipped one
    lap_aliases: dict[str, str]


class Contract(Struct, frozen=True):
    page_type: PageType
    script: Script | None
    titles: tuple[re.Pattern[str], ...]
    identity_any: Selector | None
    identity_none: Selector | None
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]


# ---------------------------------------------------------------- loading


def contract_source(page_type: PageType) -> bytes:
    """The shipped contract file of a page type."""
    return resources.files("pipeline.liverc").joinpath("contracts", f"{page_type}.toml").read_bytes()


def load_contract(page_type: PageType, extra: Mapping[str, Any] | None = None) -> Contract:
    """The compiled contract of a page type, with the alternatives of `extra` (same shape, lists only) added at the end.

    Raises `ContractError` for a file or an addition that is no valid contract. Without `extra` the result is cached.
    """
    if extra is None:
        return _shipped(page_type)
    data = merge_alternatives(tomllib.loads(contract_source(page_type).decode()), extra, str(page_type))
    return compile_contract(data, str(page_type))


@cache
def _shipped(page_type: PageType) -> Contract:
    return compile_contract(tomllib.loads(contract_source(page_type).decode()), str(page_type))


def merge_alternatives(base: Mapping[str, Any], extra: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A contract's data with more alternatives. Only lists can grow: an addition never changes what is already read."""
    merged = dict(base)
    for key, value in extra.items():
        place = f"{where}.{key}"
        if key == "row_xpath" and "column" in base:  # a further way to a column; what has none yet starts with none
            merged[key] = list(base.get(key, ()))
        elif key not in base or key == "none":
            raise ContractError(f"{place}: only alternatives to what the contract looks for can be added")
        known = merged[key]
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            merged[key] = merge_alternatives(known, value, place)
        elif isinstance(value, list) and isinstance(known, list):
            merged[key] = [*known, *(item for item in value if item not in known)]
        elif value != known:
            raise ContractError(f"{place} cannot be changed: only alternatives can be added")
    return merged


def compile_contract(data: Mapping[str, Any], where: str) -> Contract:
    """Validate and compile a contract's data. Raises `ContractError` that names the place."""
    try:
        shape = msgspec.convert(data, ContractData)
    except msgspec.ValidationError as error:
        raise ContractError(f"{where}: {error}") from None
    return Contract(
        page_type=shape.page_type,
        script=_script(shape.script, f"{where}.script"),
        titles=_patterns(shape.identity.title, f"{where}.identity.title"),
        identity_any=_selector(shape.identity.any, f"{where}.identity.any"),
        identity_none=_selector(shape.identity.none, f"{where}.identity.none"),
        fields=tuple(_field(name, field, f"{where}.field.{name}") for name, field in shape.field.items()),
        parts=tuple(_part(name, part, f"{where}.part.{name}") for name, part in shape.part.items()),
    )


_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def _script(script: ScriptData | None, where: str) -> Script | None:
    if script is None:
        return None
    if not script.name or not all(map(_NAME.fullmatch, script.name)):
        _refuse(where, "a variable's name is needed")
    return Script(
        script.name,
        script.racer,
        script.lap,
        _aliases(script.racer, f"{where}.racer"),
        _aliases(script.lap, f"{where}.lap"),
    )


def _aliases(keys: Mapping[str, tuple[str, ...]], where: str) -> dict[str, str]:
    """Added key → shipped key. One key cannot mean two things."""
    if not all(keys.values()):
        _refuse(where, "a value without a key")
    every = [key for alternatives in keys.values() for key in alternatives]
    if len(set(every)) != len(every):
        _refuse(where, "one key for two values")
    return {key: alternatives[0] for alternatives in keys.values() for key in alternatives[1:]}


def _part(name: str, part: PartData, where: str) -> Part:
    if part.row_field and part.rows is None:
        _refuse(where, "row_field without rows")
    if any(field.column or field.row_xpath for field in part.field.values()):
        _refuse(where, "a column belongs into row_field")
    if any(field.column for field in part.row_field.values()) and not (part.rows and part.rows.header):
        _refuse(where, "columns without rows.header")
    rows = None
    if part.rows:
        rows = Rows(
            at=_needed(part.rows.at, f"{where}.rows.at"),
            header=_selector(part.rows.header, f"{where}.rows.header"),
            heading=_selector(part.rows.heading, f"{where}.rows.heading"),
        )
    return Part(
        name=name,
        at=_needed(part.at, f"{where}.at"),
        required=part.required,
        only_first=part.only_first,
        fields=tuple(_field(key, field, f"{where}.field.{key}") for key, field in part.field.items()),
        rows=rows,
        row_fields=tuple(_field(key, field, f"{where}.row_field.{key}") for key, field in part.row_field.items()),
    )


def _field(name: str, field: FieldData, where: str) -> Field:
    if not field.xpath and not field.column:
        _refuse(where, "neither xpath nor column")
    if field.row_xpath and not field.column:
        _refuse(where, "row_xpath stands in for a column")
    if field.check_hidden and (field.xpath or not field.column):
        _refuse(where, "check_hidden is about a cell as a whole: column without xpath")
    if field.convert not in CONVERTERS:
        _refuse(where, f"no converter {field.convert!r}; there are {', '.join(CONVERTERS)}")
    places = [f"column {' | '.join(map(repr, field.column))}"] if field.column else []
    places += [" | ".join(field.xpath)] if field.xpath else []
    source = " → ".join(places)
    return Field(
        name=name,
        selector=_selector(field.xpath, where),
        columns=tuple(map(header_key, field.column)),
        elsewhere=_selector(field.row_xpath, where),
        convert=CONVERTERS[field.convert],
        patterns=_patterns(field.pattern, where),
        required=field.required,
        present=field.present,
        usual=field.usual,
        many=field.many,
        check_hidden=field.check_hidden,
        source=" | ".join([source, *field.row_xpath]),
    )


def header_key(title: str) -> str:
    """Column titles are compared without regard to case and white space."""
    return " ".join(title.split()).casefold()


_CLASS = re.compile(r"class\('([A-Za-z0-9_-]+)'\)")


def _needed(alternatives: Sequence[str], where: str) -> Selector:
    return _selector(alternatives, where) or _refuse(where, "is empty")


def expand(source: str) -> str:
    """A contract's XPath as XPath: `class('x')` is short for: one of the element's classes is x."""
    return _CLASS.sub(r"contains(concat(' ', normalize-space(@class), ' '), ' \1 ')", source)


def _selector(alternatives: Sequence[str], where: str) -> Selector | None:
    if not alternatives:
        return None
    paths = []
    for source in alternatives:
        try:
            paths.append(etree.XPath(expand(source), smart_strings=False))
        except etree.XPathSyntaxError as error:
            _refuse(where, f"{error}: {source}")
    return Selector(tuple(paths), " | ".join(alternatives))


def _patterns(sources: Sequence[str], where: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(source) for source in sources)
    except re.error as error:
        _refuse(where, f"not a regular expression: {error}")


def _refuse(where: str, why: str) -> NoReturn:
    raise ContractError(f"{where}: {why}")
