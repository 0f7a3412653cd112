"""Where a database is: the forms of `--db`, read once into a `Target`.

A plain path, `sqlite:///path` and `file:path` name a SQLite file, `postgresql://…` a server. Nothing is opened here.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from pipeline.errors import Kind, StateError

SQLITE_OPTIONS = frozenset({"mode", "immutable", "max_page_count"})
SQLITE_MODES = frozenset({"ro", "rw", "rwc"})
PASSWORD_SHOWN = "***"  # noqa: S105  what is printed in a password's place


class Target(Struct, frozen=True):
    """A database URL, understood."""

    engine: str  # "sqlite" or "postgresql"
    shown: str  # the URL as it may be printed: no password
    path: Path | None = None  # SQLite
    options: dict[str, str] = {}  # SQLite: SQLITE_OPTIONS
    conninfo: str = ""  # PostgreSQL: what libpq takes, with the password
    secret: str = ""  # the password, so that it can be cut out of the driver's messages

    @property
    def read_only(self) -> bool:
        return self.options.get("mode") == "ro"

    def sqlite_uri(self, *, create: bool) -> str:
        """The `file:` URI that SQLite opens; without `create` a missing file is an error instead of a new database."""
        assert self.path is not None
        query = {"mode": self.options.get("mode") or ("rwc" if create else "rw")}
        if "immutable" in self.options:
            query["immutable"] = self.options["immutable"]
        return f"file:{quote(self.path.as_posix())}?{urlencode(query)}"


def parse_url(url: str) -> Target:
    """Read a database URL. Raises StateError USAGE for what cannot be one."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url)
    if scheme == "sqlite":
        rest = url[len("sqlite://") :]
        if not rest.startswith("/"):
            raise StateError(
                Kind.USAGE, f"{url!r} has one slash too few: write sqlite:///relative.db or sqlite:////absolute.db"
            )
        return _sqlite(url, rest[1:], quoted=True)
    if scheme:
        raise StateError(
            Kind.USAGE, f"{scheme}:// is not a database this program knows; use a path, sqlite:/// or postgresql://"
        )
    if url.startswith("file:"):
        return _sqlite(url, url[len("file:") :], quoted=True)
    return _sqlite(url, url, quoted=False)


def _sqlite(url: str, rest: str, *, quoted: bool) -> Target:
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - SQLITE_OPTIONS)
    if unknown:
        raise StateError(
            Kind.USAGE, f"unknown database option {unknown[0]!r}; known are {', '.join(sorted(SQLITE_OPTIONS))}"
        )
    if options.get("mode", "rwc") not in SQLITE_MODES:
        raise StateError(Kind.USAGE, f"mode={options['mode']} is not one of ro, rw, rwc")
    if not options.get("max_page_count", "1").isdecimal():
        raise StateError(Kind.USAGE, "max_page_count must be a number")
    if quoted:
        name = unquote(name)
    if not name or name == ":memory:":
        raise StateError(Kind.USAGE, "the database must be a file: one in memory could not be shared by threads")
    return Target(engine="sqlite", shown=url, path=Path(name).expanduser(), options=options)


def _postgresql(url: str) -> Target:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = unquote(parts.password or "") or query.get("password", "")
    user, _, host = parts.netloc.rpartition("@")  # a password may hold ":" and "@" itself
    netloc = f"{user.partition(':')[0]}:{PASSWORD_SHOWN}@{host}" if parts.password else parts.netloc
    if "password" in query:
        query["password"] = PASSWORD_SHOWN
    shown = f"postgresql://{netloc}{parts.path}" + (f"?{urlencode(query, safe='/*')}" if query else "")
    conninfo = "postgresql://" + url.partition("://")[2]
    return Target(engine="postgresql", shown=shown, conninfo=conninfo, secret=secret)
