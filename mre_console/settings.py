"""What the operator can set, where each value came from, and what is accepted.

Flags beat the environment, the environment beats `config.toml`, the file beats the defaults. Every value is checked
once, here, and a bad one is refused with the place it came from, so that nobody has to guess which source was wrong.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import Kind, StateError
from pipeline.store.urls import parse_url

DEFAULT_CRAWL_DELAY_S = 1.0
DATABASE_NAME = "mre.sqlite3"
BROWSER_MODES = ("auto", "always", "never")  # as in pipeline.liverc.sources, which loads more than settings should
RENDERED_TYPES = ("track_catalogue", "track_dashboard", "events_listing", "event", "race_result", "entry_list")
ANSWER = "your answer"  # the source of a value that was asked for at the terminal


@dataclass(frozen=True)
class Setting:
    """One value and where it came from, ready to be shown: secrets are masked."""

    name: str
    value: str | float | bool | None
    source: str  # "--db", "MRE_DB", the path of config.toml, or "default"


@dataclass(frozen=True)
class Settings:
    """All settings, checked. `sources` holds for each name where its value came from."""

    db: str  # a path, sqlite:… / file:… or postgresql://…; may hold a password: show `shown()` instead
    data: Path  # page archive, logs and, unless `db` says otherwise, the database
    site: str | None  # "http://127.0.0.1:8080" stands in for every *.liverc.com host
    crawl_delay: float  # seconds between two requests to one registrable domain
    contact: str | None  # goes into the User-Agent
    release_dead: bool  # release the lock of a holder that is proven dead on this machine, without asking
    read_only: bool  # look, and refuse every action
    browser: str  # auto, always, never
    browser_pages: str | None  # page types that always need it, with commas
    drift_webhook: str | None  # told of drift in a JSON POST; may hold a secret: show `shown()` instead
    config_file: Path  # where config.toml is, or would be
    sources: Mapping[str, str]

    def shown(self) -> list[Setting]:
        """Every setting in a fixed order, fit to be printed."""
        values: dict[str, str | float | bool | None] = {
            "db": masked_url(self.db),
            "data": str(self.data),
            "site": self.site,
            "crawl_delay": self.crawl_delay,
            "contact": self.contact,
            "release_dead": self.release_dead,
            "read_only": self.read_only,
            "browser": self.browser,
            "browser_pages": self.browser_pages,
            "drift_webhook": masked_webhook(self.drift_webhook),
        }
        return [Setting(name, value, self.sources[name]) for name, value in values.items()]


# ---------------------------------------------------------------- what is accepted


def masked_url(url: str) -> str:
    """A database URL as it may be printed: without its password."""
    return parse_url(url).shown


def masked_webhook(url: str | None) -> str | None:
    """A webhook's address as it may be printed: whoever knows its path may post there."""
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…"


def _database(text: str) -> str:
    wanted = "a file path, sqlite:///PATH or postgresql://USER@HOST/NAME"
    plain = "://" not in text and not text.startswith(("file:", ":"))
    try:
        parse_url(text)
    except StateError as error:
        raise ValueError(f"{wanted} ({error.message})") from error
    except ValueError as error:  # its text may quote the password
        raise ValueError(wanted) from error
    return str(Path(text).expanduser().absolute()) if plain else text


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:
        raise ValueError(f"a folder that can be looked at ({error.strerror})") from error
    if is_file:
        raise ValueError("a folder (this is a file)")
    return path


def _site(text: str) -> str:
    wanted = "http://HOST:PORT or https://HOST:PORT, without a path"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(wanted) from error
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    clean = text.isprintable() and not re.search(r"[\s\\?#]", text)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not bare or not clean:
        raise ValueError(wanted)
    return f"{parts.scheme}://{parts.netloc}"


def _crawl_delay(text: str) -> float:
    wanted = "a number of seconds, 0 or more"
    try:
        seconds = float(text)
    except ValueError as error:
        raise ValueError(wanted) from error
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(wanted)
    return seconds


def _contact(text: str) -> str:
    # It becomes part of a request header: nothing but printable ASCII without blanks, brackets or quotes may enter.
    mail = re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text)
    page = re.fullmatch(r"https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d+)?(/[A-Za-z0-9._~%/?&=+@:-]*)?", text)
    if not mail and not page:
        raise ValueError("an e-mail address or an http(s) URL")
    return text


def _webhook(text: str) -> str:
    wanted = "an http(s) URL"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(wanted) from error
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or not text.isprintable()
        or " " in text
    ):
        raise ValueError(wanted)
    return text


def _browser(text: str) -> str:
    if text not in BROWSER_MODES:
        raise ValueError(", ".join(BROWSER_MODES))
    return text


def _page_types(text: str) -> str | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in RENDERED_TYPES]:
        raise ValueError(f"some of {', '.join(RENDERED_TYPES)}, with commas (not {unknown[0]!r})")
    return ",".join(names) or None


def _yes_or_no(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError("yes or no")
    return text.lower() in _YES


_YES = ("yes", "true", "on", "1")
_NO = ("no", "false", "off", "0")
_READERS: dict[str, Callable[[str], Any]] = {
    "db": _database,
    "data": _folder,
    "site": _site,
    "crawl_delay": _crawl_delay,
    "contact": _contact,
    "release_dead": _yes_or_no,
    "read_only": _yes_or_no,
    "browser": _browser,
    "browser_pages": _page_types,
    "drift_webhook": _webhook,
}
_SECRETS = ("drift_webhook",)
_FILE_TYPES: dict[str, tuple[type, ...]] = dict.fromkeys(_READERS, (str,)) | {
    "crawl_delay": (int, float),
    "release_dead": (bool,),
    "read_only": (bool,),
}
_FILE_WORDS: dict[tuple[type, ...], str] = {(int, float): "a number", (bool,): "true or false"}


def flag_name(name: str) -> str:
    """`crawl_delay` → `--crawl-delay`."""
    return "--" + name.replace("_", "-")


def _checked(name: str, text: str, source: str) -> Any:
    try:
        return _READERS[name](text)
    except ValueError as error:
        shown = "…" if name in _SECRETS or (name == "db" and "@" in text) else text  # it may hold a password
        raise StateError(
            Kind.USAGE,
            f"{name} = {shown!r} (from {source}) is not accepted: it must be {error}.",
            setting=name,
            source=source,
            remedy=f"Correct {source}."
            if source == flag_name(name)
            else f"Correct {source}, or use {flag_name(name)}.",
        ) from error


# ---------------------------------------------------------------- where values come from


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where `config.toml` is: MRE_CONFIG, else the platform's configuration folder."""
    given = (os.environ if environ is None else environ).get("MRE_CONFIG")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("mre", appauthor=False) / "config.toml"


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _read_file(path: Path, warn: Callable[[str], None]) -> dict[str, str]:
    """The file's known settings as text. An absent file is an empty one; unknown keys are named in a warning."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StateError(
            Kind.USAGE,
            f"The configuration file {path} cannot be read: {error}.",
            source=str(path),
            remedy="Correct the file, or name another one with MRE_CONFIG.",
        ) from error
    unknown = sorted(set(table) - set(_READERS))
    if unknown:
        warn(f"{path}: unknown setting {', '.join(unknown)}; known are {', '.join(_READERS)}")
    known = {name: value for name, value in table.items() if name in _READERS}
    for name, value in known.items():
        types = _FILE_TYPES[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            kind = _FILE_WORDS.get(types, "a text in quotes")
            raise StateError(
                Kind.USAGE,
                f"{name} in {path} is not accepted: it must be {kind}.",
                setting=name,
                source=str(path),
                remedy=f"Correct {path}, or override it with {flag_name(name)}.",
            )
    return {name: str(value) for name, value in known.items()}


def load_settings(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = _warn,
) -> Settings:
    """Read every setting. `flags` maps names to what was typed; an empty environment variable counts as unset.

    Raises StateError (USAGE) naming the setting, where the bad value came from and what is accepted.
    """
    env = os.environ if environ is None else environ
    file = config_path(env)
    in_file = _read_file(file, warn)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in _READERS:
        variable = f"MRE_{name.upper()}"
        candidates = (
            (flag_name(name), (flags or {}).get(name)),
            (variable, env.get(variable) or None),
            (str(file), in_file.get(name)),
        )
        for source, text in candidates:
            if text is not None:
                values[name], sources[name] = _checked(name, text, source), source
                break
        else:
            sources[name] = "default"
    data = values.get("data") or _default_data()
    return Settings(
        db=values.get("db") or str(data / DATABASE_NAME),
        data=data,
        site=values.get("site"),
        crawl_delay=values.get("crawl_delay", DEFAULT_CRAWL_DELAY_S),
        contact=values.get("contact"),
        release_dead=values.get("release_dead", True),
        read_only=values.get("read_only", False),
        browser=values.get("browser", "auto"),
        browser_pages=values.get("browser_pages"),
        drift_webhook=values.get("drift_webhook"),
        config_file=file,
        sources=sources,
    )


def _default_data() -> Path:
    from platformdirs import user_data_path

    return user_data_path("mre", appauthor=False)


# ---------------------------------------------------------------- what is kept


def with_contact(settings: Settings, contact: str) -> Settings:
    """The settings with the contact that a person just gave. Raises StateError (USAGE) where it is not acceptable."""
    checked = _checked("contact", contact, ANSWER)
    return replace(settings, contact=checked, sources={**settings.sources, "contact": ANSWER})


def save_contact(contact: str, file: Path | None = None) -> None:
    """Write `contact` into `config.toml`, leaving every other line of the file as it is.

    Raises StateError (USAGE) where the contact is not acceptable or the file cannot be changed safely.
    """
    checked = _checked("contact", contact, ANSWER)
    file = file or config_path()
    target = file.resolve()  # a link to a file kept elsewhere stays a link
    remedy = f"Write contact = {json.dumps(checked)} into {file} yourself, or set MRE_CONTACT."
    try:
        before = target.read_bytes().decode() if target.exists() else ""  # bytes: line ends stay as they are
        after = _with_contact(before, checked)
        _replace_file(target, after)
    except (OSError, ValueError) as error:
        raise StateError(Kind.USAGE, f"The contact could not be saved in {file}: {error}.", remedy=remedy) from error


def _with_contact(text: str, contact: str) -> str:
    """`text` with the top-level key `contact` set. Raises ValueError where that would change anything else."""
    line = f"contact = {json.dumps(contact)}"
    lines = text.splitlines(keepends=True)
    first_table = next((i for i, one in enumerate(lines) if one.lstrip().startswith("[")), len(lines))
    found = next((i for i in range(first_table) if re.match(r"\s*contact\s*=", lines[i])), None)
    if found is None:
        lines.insert(0, line + "\n")
    else:
        lines[found] = line + "\n"
    after = "".join(lines)
    if tomllib.loads(after) != {**tomllib.loads(text), "contact": contact}:
        raise ValueError("the file is laid out in a way that a small edit would damage")
    return after


def _replace_file(target: Path, text: str) -> None:
    """Replace the file in one step, so that a crash leaves the old one or the new one, never half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600  # it may hold a database password
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".config-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------- what is shipped


def shipped_fixtures() -> Path:
    """The folder of page sets that came with the program: inside the package in a wheel, beside it in a checkout.

    Raises StateError (INTERNAL) where the installation has none.
    """
    package = Path(__file__).parent
    checkout = package.parent
    if (package / "_fixtures").is_dir():
        return package / "_fixtures"
    if (checkout / "pyproject.toml").is_file() and (checkout / "fixtures").is_dir():
        return checkout / "fixtures"
    raise StateError(Kind.INTERNAL, "This installation holds no fixtures.", remedy="Install the program again.")
