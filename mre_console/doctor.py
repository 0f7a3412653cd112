"""Is this machine fit to run the program? One check after the other, each ending in a verdict and, if bad, what to do.

Nothing is changed and no page is fetched: an existing database is opened and asked, a folder is probed with a file that
vanishes at once, the site only gets a connection that is closed again.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mre_console.settings import Settings
from pipeline.errors import PipelineError

REAL_SITE = "https://live.liverc.com"
CONNECT_TIMEOUT_S = 5.0
CLOCK_TOLERANCE_MS = (
    5_000  # leases are judged by the database's clock, logs by ours: beyond this they tell different stories
)
EARLIEST_PLAUSIBLE = datetime(2026, 1, 1, tzinfo=UTC)  # this program is younger
MIB = 1024 * 1024
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    level: Level
    found: str
    remedy: str | None = None  # what to do; None where nothing needs doing


def examine(settings: Settings) -> Iterator[Check]:
    """Run every check, in the order in which an operator would look."""
    checks: tuple[Callable[[Settings], Check], ...] = (
        check_python,
        check_sqlite,
        check_postgresql,
        check_data_folder,
        check_disk,
        check_database,
        check_clock,
        check_contact,
        check_site,
        check_browser,
    )
    for check in checks:
        yield check(settings)


def check_python(_: Settings) -> Check:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform == "win32":
        return Check("python", "warn", found, "Windows works as far as it goes; Linux and macOS are what is supported.")
    return Check("python", "ok", found)


def check_sqlite(_: Settings) -> Check:
    from pipeline.store.database import sqlite_version, wal_is_safe

    version = sqlite_version()
    found = f"SQLite {'.'.join(map(str, version))}"
    if wal_is_safe(version):
        return Check("sqlite", "ok", f"{found}, free of the WAL-reset bug")
    return Check(
        "sqlite",
        "warn",
        f"{found} has the WAL-reset bug, so databases are kept in the slower DELETE journal mode",
        "Use a Python whose SQLite is 3.51.3 or newer, or a platform for which pysqlite3 has a wheel.",
    )


def check_postgresql(settings: Settings) -> Check:
    wanted = settings.db.startswith(("postgresql://", "postgres://"))
    if find_spec("psycopg") is not None:
        from importlib.metadata import version

        return Check("postgresql driver", "ok", f"psycopg {version('psycopg')}")
    if wanted:
        return Check("postgresql driver", "fail", "not installed", "pip install 'mre-console[postgres]'")
    return Check("postgresql driver", "ok", "not installed; only needed for postgresql:// databases")


def check_data_folder(settings: Settings) -> Check:
    folder = settings.data
    remedy = "Name a folder that this user may write: --data or MRE_DATA."
    if not folder.exists():
        parent = _nearest(folder)
        if _may_be_filled(parent):
            return Check("data folder", "ok", f"{folder} will be made at first use")
        return Check("data folder", "fail", f"{folder} cannot be made: {parent} is not writable", remedy)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        return Check("data folder", "fail", f"{folder} cannot be written: {error.strerror}", remedy)
    return Check("data folder", "ok", f"{folder} is writable")


def check_disk(settings: Settings) -> Check:
    from pipeline.resources import DISK_FAIL_BYTES, DISK_WARN_BYTES

    folder = _nearest(settings.data)
    free = shutil.disk_usage(folder).free
    found = f"{free / MIB:,.0f} MiB free at {folder}"
    remedy = "Free some space, or move the data folder (--data) to a larger disk."
    if free < DISK_FAIL_BYTES:
        return Check("disk", "fail", found, remedy)
    return Check("disk", "warn" if free < DISK_WARN_BYTES else "ok", found, remedy if free < DISK_WARN_BYTES else None)


def check_database(settings: Settings) -> Check:
    from pipeline.store.database import Store
    from pipeline.store.urls import parse_url

    target = parse_url(settings.db)
    if target.path is not None and not target.path.exists() and not target.read_only:
        folder = target.path.parent
        if not folder.is_dir() and folder.absolute() != settings.data.absolute():
            found = f"the folder of {target.shown} does not exist"
            return Check("database", "fail", found, "Check --db, and that its disk is mounted.")
        parent = _nearest(folder)
        if _may_be_filled(parent):
            return Check("database", "ok", f"{target.shown} will be made at first use")
        return Check("database", "fail", f"{target.shown} cannot be made: {parent} is not writable", "Change --db.")
    try:
        store = Store.open(settings.db, create=False, migrate=False)
        store.close()
    except PipelineError as error:
        return Check("database", "fail", error.message, error.rule.remedy)
    if target.read_only:
        return Check("database", "warn", f"{target.shown} is opened read-only", "Nothing can be ingested this way.")
    return Check("database", "ok", f"{target.shown} is reachable and its schema is current")


def check_clock(settings: Settings) -> Check:
    now = datetime.now(UTC)
    remedy = "Let the system keep its time (NTP)."
    if now < EARLIEST_PLAUSIBLE:
        return Check("clock", "fail", f"this machine says {now:%Y-%m-%d %H:%M} UTC, which is past", remedy)
    difference = _database_clock_difference_ms(settings)
    if difference is not None and abs(difference) > CLOCK_TOLERANCE_MS:
        return Check("clock", "warn", f"the database's clock is {difference / 1000:+.1f} s from this machine's", remedy)
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _database_clock_difference_ms(settings: Settings) -> int | None:
    """Database minus this machine; None where the database cannot be asked, which `check_database` reports."""
    from pipeline.store.database import Store
    from pipeline.store.urls import parse_url

    if parse_url(settings.db).engine == "sqlite":
        return None  # the same clock
    try:
        store = Store.open(settings.db, create=False, migrate=False)
        before = time.time()
        theirs = store.clock_ms()
        ours = (before + time.time()) / 2 * 1000
        store.close()
    except PipelineError:
        return None
    return round(theirs - ours)


def check_contact(settings: Settings) -> Check:
    if settings.contact is not None:
        return Check("contact", "ok", f"{settings.contact} (from {settings.sources['contact']})")
    if settings.site is not None:
        return Check("contact", "ok", "not set; not needed while a stand-in for the site is used")
    return Check(
        "contact",
        "warn",
        "not set; the real site is not fetched without one",
        "Set MRE_CONTACT or `contact` in config.toml to an e-mail address or web page.",
    )


def check_site(settings: Settings) -> Check:
    url = settings.site or REAL_SITE
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        remedy = "Check the network, a proxy or firewall, and whether the site is up in a browser."
        return Check("site", "warn", f"{url} does not take connections: {error.strerror or error}", remedy)
    return Check("site", "ok", f"{url} takes connections")


def check_browser(settings: Settings) -> Check:
    if settings.browser == "never":
        return Check("browser", "ok", "never used: browser = never")
    for name in BROWSERS:
        if path := shutil.which(name):
            return Check("browser", "ok", path)
    if settings.browser != "always" and settings.browser_pages is None:
        return Check(
            "browser", "ok", "none found, and none needed: every page that is known today is read over plain HTTP"
        )
    remedy = "Run `playwright install chromium`, install your system's chromium, or set --browser never."
    return Check("browser", "warn", "none found on the path", remedy)


def _may_be_filled(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)


def _nearest(folder: Path) -> Path:
    """The folder itself or the closest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
