"""Invented names: people, tracks and events. Any likeness is an accident; none was taken from a real page."""

from __future__ import annotations

from random import Random

from mre_console.simulator.world import Driver

_GIVEN = (
    "ARDEN", "BECK", "CALDER", "DARA", "EBBA", "FENN", "GALE", "HALDEN", "IRIS", "JORY", "KESTER", "LARK", "MERRICK",
    "NELL", "ODELL", "PERRIN", "QUILL", "ROWAN", "SORREL", "TAMSIN", "ULRIK", "VESTA", "WREN", "YARROW", "ZELMA",
    "ALDIS", "BRAM", "CORIN", "DELL", "ERROL", "FARREN", "GREER", "HOLLIS", "INGRAM", "JUNO", "KIT", "LINDEN",
)  # fmt: skip
_FAMILY = (
    "ASHDRAKE", "BRACKENFELL", "CINDERLY", "DUSKWATER", "EMBERTON", "FALLOWMERE", "GRAVELOCK", "HOLLOWAYNE", "IRONBECK",
    "JASPERWICK", "KILNSHAW", "LOAMWELL", "MARLPIT", "NETTLECOMB", "OAKENSHOT", "PEBBLEWORTH", "QUARRINGDON",
    "RIDGELOCK", "SANDERLEIGH", "THISTLEMOOR", "UNDERCLIFT", "VALEBROOK", "WHINSTONE", "YEWBARROW", "ZINCWATER",
    "BERMHOLT", "CLAYSTROM", "DIRTLEY", "FLINTHAVEN", "GRITSTONE", "JUMPSON", "MUDWICK", "RUTLEDGER", "SPURWELL",
    "TABLETOPPE", "WASHBOARDE",
)  # fmt: skip
_PLACES = (
    "Cinder Hollow", "Marl Pit", "Quarry Bend", "Dustwater", "Gravel Fork", "Loam Ridge", "Nettle Creek", "Flint Haven",
    "Berm Valley", "Clay Hollow", "Rut River", "Thistle Moor", "Salt Flat", "Copper Gulch", "Juniper Wash", "Sandstone",
    "Pebble Row", "Iron Beck", "Willow Dip", "Table Top", "Whin Stone", "Yew Barrow",
)  # fmt: skip
_KINDS = ("RC Raceway", "Off-Road", "RC Park", "Model Car Club", "Speedway", "RC Track", "Hobbies Arena", "Raceworx")
_SERIES = (
    "Club Night", "Winter Series", "Summer Shootout", "Points Race", "Dirt Classic", "Charity Cup", "Night Rumble",
    "Grand Opening", "Club Championship", "Harvest Cup", "Spring Warm-Up", "Regional Qualifier",
)  # fmt: skip

# names as typed at registration: (raw name, hidden sort key); equal names are different people
ODD_NAMES = (
    ("MEL O'HARROW", "O'HARROW, MEL"),
    ("JO-ANN PRITCHE-VALE", "PRITCHE-VALE, JO-ANN"),
    ("B.J. MCTARN", "MCTARN, B.J."),
    ("TOBIN FELLGATE JR.", "FELLGATE JR., TOBIN"),
    ("OTTO FELLGATE SR.", "FELLGATE SR., OTTO"),
    ("KESTREL 5 MARLOWE", "5 MARLOWE, KESTREL"),
    ("RODERICK WALDEGRAVE 3RD", "WALDEGRAVE 3RD, RODERICK"),
    ("GRAVELTRONIC", "GRAVELTRONIC"),
    ("JOSÉ ÑANDÚ-ÖRTEGA", "ÑANDÚ-ÖRTEGA, JOSÉ"),
    ("ИВАН ЛУГОВОЙ", "ЛУГОВОЙ, ИВАН"),
    ("山砂 陸", "陸, 山砂"),
    (" LEAH SPACEBAR", "SPACEBAR, LEAH"),
    ("TRAIL SPACEBAR ", "SPACEBAR, TRAIL"),
    ("DOUBLE  SPACEBAR", "SPACEBAR, DOUBLE"),
    ('AXEL "FLASH" R&D BERG', 'BERG, AXEL "FLASH" R&D'),
    ("TWIN MARLPIT", "MARLPIT, TWIN"),
    ("TWIN MARLPIT", "MARLPIT, TWIN"),
    ("ECHO LOAMWELL", "LOAMWELL, ECHO"),
    ("ECHO LOAMWELL", "LOAMWELL, ECHO"),
)
# event names as typed: with quotes, ampersands, stray spaces
ODD_EVENT_NAMES = (
    "Evening League Night Four ",
    'The "Big One" & Friends',
    "Ollie's  Winter R&D Cup",
    "Open Day",
    "Open Day",
    "X",
)
ODD_TRACK_NAMES = (
    ("Sandstone  SH Models", "shmodels"),
    ('The Dust Den "Off-Road"', "dustden"),
    ("Berm & Barrel RC", "bermandbarrel"),
    ("Гравийная трасса", "graviy"),
    ("赤土サーキット", "akatsuchi"),
    ("Circuito Ñandú «Sur»", "nandusur"),
    ("Copper Gulch RC Raceway", "coppergulch"),
    ("Copper Gulch RC Raceway", "coppergulch2"),
    ("902 Gravel Works", "902gravelworks"),
    ("Fast and Loose Toys", "FastandLooseToys"),
    ("Track", "dmcc"),
)


def people(rng: Random, count: int, first_id: int) -> tuple[Driver, ...]:
    """Drivers with different names and ids; ids in no order."""
    every = len(_GIVEN) * len(_FAMILY)
    ids = rng.sample(range(first_id, first_id + 3 * count), count)
    picks = rng.sample(range(every), count)
    return tuple(_person(pick, number) for pick, number in zip(picks, ids, strict=True))


def _person(pick: int, number: int) -> Driver:
    given, family = _GIVEN[pick % len(_GIVEN)], _FAMILY[pick // len(_GIVEN)]
    return Driver(driver_id=str(number), name=f"{given} {family}", sort_name=f"{family}, {given}")


def odd_people(first_id: int) -> tuple[Driver, ...]:
    """The drivers with every kind of name that breaks readers."""
    return tuple(Driver(str(first_id + 7 * i), name, sort) for i, (name, sort) in enumerate(ODD_NAMES))


def track_name(index: int) -> tuple[str, str]:
    """The name and slug of the index-th ordinary track; all differ."""
    place, kind = _PLACES[index % len(_PLACES)], _KINDS[(index // len(_PLACES) + index) % len(_KINDS)]
    lap = index // (len(_PLACES) * len(_KINDS))
    name = f"{place} {kind}" + (f" {lap + 1}" if lap else "")
    return name, "".join(filter(str.isalnum, name)).lower()


def event_name(rng: Random, year: int, number: int) -> str:
    """An event's name as clubs write them."""
    series = rng.choice(_SERIES)
    return rng.choice((f"{year} {series} Round {number}", f"{series} {number}", f"{year} {series}", series))
