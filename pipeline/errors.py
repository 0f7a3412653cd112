"""Every way in which the pipeline can fail, in one table.

A `Kind` names a machine-readable cause; `TABLE` alone decides the stage it belongs to, whether a retry may help, the
process's exit code, the HTTP status and what the operator should do. Rooms raise `PipelineError` with a kind and facts;
command line, API, console, log and metrics all show the same `Envelope`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.json import encode


class Stage(StrEnum):
    """Where in an event's way from page to database something failed."""

    FETCH = "fetch"
    PARSE = "parse"
    NORMALISE = "normalise"
    DB = "db"
    STATE = "state"  # a refused transition, a held lock, a closed gate, a request that makes no sense


class Kind(StrEnum):
    """The cause of a failure. The value is what envelopes, logs and metrics carry."""

    # fetch
    UNREACHABLE = "UNREACHABLE"
    CONNECTION_LOST = "CONNECTION_LOST"
    TIMEOUT = "TIMEOUT"
    TRUNCATED = "TRUNCATED"
    TOO_LARGE = "TOO_LARGE"
    NOT_FOUND = "NOT_FOUND"
    HTTP_STATUS = "HTTP_STATUS"
    SERVER_ERROR = "SERVER_ERROR"
    RATE_LIMITED = "RATE_LIMITED"
    REDIRECT_REFUSED = "REDIRECT_REFUSED"
    ROBOTS_DISALLOWED = "ROBOTS_DISALLOWED"
    ROBOTS_UNAVAILABLE = "ROBOTS_UNAVAILABLE"
    BROWSER_FAILED = "BROWSER_FAILED"
    BROWSER_MISSING = "BROWSER_MISSING"
    # parse
    PAGE_UNRECOGNISED = "PAGE_UNRECOGNISED"
    FIELD_MISSING = "FIELD_MISSING"
    FIELD_INVALID = "FIELD_INVALID"
    SCRIPT_UNREADABLE = "SCRIPT_UNREADABLE"
    PAGE_TYPE_UNSUPPORTED = "PAGE_TYPE_UNSUPPORTED"
    # normalise
    NO_RACES = "NO_RACES"
    LAPS_MISSING = "LAPS_MISSING"
    SHRUNK = "SHRUNK"
    INVALID_DOCUMENT = "INVALID_DOCUMENT"
    # db
    DB_UNREACHABLE = "DB_UNREACHABLE"
    DB_FULL = "DB_FULL"
    DB_READONLY = "DB_READONLY"
    DB_BUSY = "DB_BUSY"
    DB_DAMAGED = "DB_DAMAGED"
    DB_SCHEMA = "DB_SCHEMA"
    DB_REFUSED = "DB_REFUSED"
    DB_ERROR = "DB_ERROR"
    ARCHIVE_FAILED = "ARCHIVE_FAILED"
    # state
    LOCK_HELD = "LOCK_HELD"
    LEASE_LOST = "LEASE_LOST"
    CLEARED = "CLEARED"
    HOLDER_DIED = "HOLDER_DIED"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    DISABLED = "DISABLED"
    READ_ONLY = "READ_ONLY"
    CHECKS_FAILED = "CHECKS_FAILED"
    GATE_CLOSED = "GATE_CLOSED"
    PAGE_TYPE_BLOCKED = "PAGE_TYPE_BLOCKED"
    EVENT_HELD = "EVENT_HELD"
    PLAN_STALE = "PLAN_STALE"
    UNDO_REFUSED = "UNDO_REFUSED"
    INTERRUPTED = "INTERRUPTED"
    USAGE = "USAGE"
    UNKNOWN = "UNKNOWN"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    UNSUPPORTED_MEDIA = "UNSUPPORTED_MEDIA"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    UNKNOWN_EVENT = "UNKNOWN_EVENT"
    NOTHING_TO_EXPORT = "NOTHING_TO_EXPORT"
    CONTACT_MISSING = "CONTACT_MISSING"
    MISSING_EXTRA = "MISSING_EXTRA"
    OUTPUT_LOST = "OUTPUT_LOST"
    INTERNAL = "INTERNAL"


class Rule(NamedTuple):
    """What follows from a kind."""

    stage: Stage
    retryable: bool  # may the same attempt succeed later without anyone changing anything?
    exit_code: int
    http_status: int
    remedy: str  # what the operator can do, one sentence
    code: str = "INGESTION_FAILED"


_F, _P, _N, _D, _S = Stage.FETCH, Stage.PARSE, Stage.NORMALISE, Stage.DB, Stage.STATE

TABLE: dict[Kind, Rule] = {
    Kind.UNREACHABLE: Rule(
        _F, True, 3, 502, "Check the network and that the site is up (`mre doctor`), then run the same command again."
    ),
    Kind.CONNECTION_LOST: Rule(_F, True, 3, 502, "The server dropped the connection; run the same command again."),
    Kind.TIMEOUT: Rule(_F, True, 3, 504, "The site is too slow at the moment; try again later."),
    Kind.TRUNCATED: Rule(_F, True, 3, 502, "The page arrived incomplete and was not used; run the same command again."),
    Kind.TOO_LARGE: Rule(
        _F, False, 3, 502, "The page is far larger than any real one; look at the URL in a browser before trying again."
    ),
    Kind.NOT_FOUND: Rule(
        _F,
        False,
        3,
        404,
        "Open the URL in a browser: the page was removed or renamed at the source. Nothing served was changed.",
    ),
    Kind.HTTP_STATUS: Rule(_F, False, 3, 502, "The site refused the request; open the URL in a browser to see why."),
    Kind.SERVER_ERROR: Rule(_F, True, 3, 502, "The site has a fault of its own; try again later."),
    Kind.RATE_LIMITED: Rule(
        _F, True, 3, 503, "The site asked for fewer requests; wait, and consider a higher --crawl-delay."
    ),
    Kind.REDIRECT_REFUSED: Rule(
        _F, False, 3, 502, "The site sent the request to another domain, which is never followed; check the URL."
    ),
    Kind.ROBOTS_DISALLOWED: Rule(
        _F, False, 3, 403, "The site's robots.txt forbids this page; ask the site's owner before going on."
    ),
    Kind.ROBOTS_UNAVAILABLE: Rule(
        _F, True, 3, 503, "robots.txt could not be read, so nothing may be fetched; try again later."
    ),
    Kind.BROWSER_FAILED: Rule(
        _F, True, 3, 502, "Look at the screenshot, DOM and console log that were kept; --debug-browser shows it live."
    ),
    Kind.BROWSER_MISSING: Rule(
        _F, False, 3, 501, "Install one (`playwright install chromium`, or your system's), or use --browser never."
    ),
    Kind.PAGE_UNRECOGNISED: Rule(
        _P,
        False,
        4,
        502,
        "The answer is not the page that was asked for; open the URL in a browser, and retry if it looks right there.",
    ),
    Kind.FIELD_MISSING: Rule(
        _P,
        False,
        4,
        502,
        "LiveRC may have changed its page; compare it in a browser and see `mre log` for the field and selector.",
    ),
    Kind.FIELD_INVALID: Rule(
        _P, False, 4, 502, "A value on the page could not be understood; compare it in a browser and see `mre log`."
    ),
    Kind.SCRIPT_UNREADABLE: Rule(
        _P, False, 4, 502, "The page's lap script could not be read; LiveRC may have changed it."
    ),
    Kind.PAGE_TYPE_UNSUPPORTED: Rule(
        _P,
        False,
        4,
        422,
        "This page type is not read yet; see README for the page types that are.",
        "PAGE_TYPE_UNSUPPORTED",
    ),
    Kind.NO_RACES: Rule(
        _N,
        False,
        5,
        422,
        "The event has no races (yet), or the site does not know the id; check the URL, or try again after race day.",
    ),
    Kind.LAPS_MISSING: Rule(
        _N, True, 5, 422, "The results name laps that the page does not hold yet; try again when the race is scored."
    ),
    Kind.SHRUNK: Rule(
        _N, False, 5, 409, "Compare the event in a browser; if the loss is real, ingest again with --allow-shrink."
    ),
    Kind.INVALID_DOCUMENT: Rule(
        _N, False, 5, 422, "The pages contradict themselves; see `mre log` for each violation."
    ),
    Kind.DB_UNREACHABLE: Rule(_D, True, 6, 503, "Check --db (MRE_DB) and that the database is running: `mre doctor`."),
    Kind.DB_FULL: Rule(
        _D, False, 6, 507, "Free disk space or raise the database's size limit, then run the same command again."
    ),
    Kind.DB_READONLY: Rule(
        _D, False, 6, 503, "The database cannot be written; check file permissions and the URL given with --db."
    ),
    Kind.DB_BUSY: Rule(_D, True, 6, 503, "Another process holds the database; run the same command again."),
    Kind.DB_DAMAGED: Rule(
        _D,
        False,
        6,
        500,
        "Look at the disk first: one that cannot be read looks like this too. If `mre checks` says the same, keep a "
        "copy of the database file and restore a backup, or let `mre rebuild --all` fill a new one.",
    ),
    Kind.DB_SCHEMA: Rule(
        _D,
        False,
        6,
        503,
        "Run `mre db info`, then `mre db upgrade`, or use the version of the program that made this database.",
    ),
    Kind.DB_REFUSED: Rule(
        _D,
        False,
        6,
        409,
        "The database refused an inconsistent write; nothing was changed. Please report it with `mre log`.",
    ),
    Kind.DB_ERROR: Rule(_D, False, 6, 500, "See `mre log` and `mre doctor`; nothing served was changed."),
    Kind.ARCHIVE_FAILED: Rule(_D, False, 6, 507, "Check free space and permissions of the data folder (--data)."),
    Kind.LOCK_HELD: Rule(
        _S,
        True,
        7,
        409,
        "Wait for the other run, or stop it with `mre cancel EVENT`; if its holder is gone, `mre locks show EVENT`, "
        "then `mre locks clear EVENT --reason …`.",
        "INGESTION_IN_PROGRESS",
    ),
    Kind.LEASE_LOST: Rule(
        _S, True, 7, 409, "Another run took over; nothing of this one was kept. See `mre log EVENT`."
    ),
    Kind.CLEARED: Rule(
        _S, True, 7, 409, "Somebody cleared the event's lock while it was being worked on; ingest the event again."
    ),
    Kind.HOLDER_DIED: Rule(
        _S, True, 7, 409, "The process that ran it died; ingest the event again, and see `mre doctor` if it dies again."
    ),
    Kind.ILLEGAL_TRANSITION: Rule(
        _S, False, 1, 409, "The event is in another state than expected; see `mre events show EVENT`."
    ),
    Kind.DISABLED: Rule(
        _S,
        True,
        8,
        423,
        "`mre control show` says who disabled ingestion and what enabling it needs.",
        "INGESTION_REFUSED",
    ),
    Kind.READ_ONLY: Rule(
        _S, False, 8, 403, "Leave out --read-only (MRE_READ_ONLY, read_only in config.toml) to act.", "ACTION_REFUSED"
    ),
    Kind.CHECKS_FAILED: Rule(_S, False, 9, 409, "See `mre checks` for what failed.", "CHECKS_FAILED"),
    Kind.GATE_CLOSED: Rule(
        _S, False, 10, 423, "Fixtures do not pass for this version of the readers.", "INGESTION_REFUSED"
    ),
    Kind.PAGE_TYPE_BLOCKED: Rule(_S, False, 10, 423, "A page type is blocked by a drift case.", "INGESTION_REFUSED"),
    Kind.EVENT_HELD: Rule(
        _S,
        False,
        10,
        423,
        "Look at `mre log EVENT`; `mre retry EVENT` or `mre reset EVENT` ends the hold.",
        "INGESTION_REFUSED",
    ),
    Kind.PLAN_STALE: Rule(
        _S, True, 7, 409, "Nothing was changed. Look at the new plan, then confirm that one.", "ACTION_REFUSED"
    ),
    Kind.UNDO_REFUSED: Rule(
        _S,
        False,
        2,
        409,
        "Nothing was changed. `mre events show EVENT` names the runs that `mre restore EVENT --run N` can serve again.",
        "ACTION_REFUSED",
    ),
    Kind.INTERRUPTED: Rule(_S, True, 130, 503, "The run was stopped; run the same command again."),
    Kind.USAGE: Rule(_S, False, 2, 422, "See `mre --help`.", "BAD_REQUEST"),
    Kind.UNKNOWN: Rule(_S, False, 2, 404, "List what there is, and name one of those.", "BAD_REQUEST"),
    Kind.UNAUTHENTICATED: Rule(
        _S, False, 2, 401, "Send a token that `mre tokens add` made: Authorization: Bearer …", "ACCESS_REFUSED"
    ),
    Kind.FORBIDDEN: Rule(_S, False, 2, 403, "Use a token with the scope operate.", "ACCESS_REFUSED"),
    Kind.METHOD_NOT_ALLOWED: Rule(_S, False, 2, 405, "See /openapi.json for what this address takes.", "BAD_REQUEST"),
    Kind.BODY_TOO_LARGE: Rule(_S, False, 2, 413, "Send less: no request here needs much.", "BAD_REQUEST"),
    Kind.UNSUPPORTED_MEDIA: Rule(_S, False, 2, 415, "Send JSON, and say so in Content-Type.", "BAD_REQUEST"),
    Kind.TOO_MANY_REQUESTS: Rule(_S, True, 2, 429, "Wait as long as Retry-After says, then ask again.", "SLOW_DOWN"),
    Kind.UNKNOWN_EVENT: Rule(
        _S,
        False,
        2,
        404,
        "Name the event as SLUG/ID or by its LiveRC URL; a bare id works once the event is known.",
        "BAD_REQUEST",
    ),
    Kind.NOTHING_TO_EXPORT: Rule(_S, False, 2, 404, "Ingest the event first: `mre ingest EVENT`.", "BAD_REQUEST"),
    Kind.CONTACT_MISSING: Rule(
        _S,
        False,
        2,
        422,
        "Give an e-mail address or URL with --contact or MRE_CONTACT: it goes into the User-Agent.",
        "BAD_REQUEST",
    ),
    Kind.MISSING_EXTRA: Rule(_S, False, 2, 501, "Install the named extra.", "BAD_REQUEST"),
    Kind.OUTPUT_LOST: Rule(
        _S,
        False,
        74,  # EX_IOERR of sysexits.h
        500,
        "Make room where the output goes, or send it elsewhere. What the command did stays done: see `mre log`.",
        "OUTPUT_LOST",
    ),
    Kind.INTERNAL: Rule(
        _S, False, 1, 500, "This is a fault of the program; please report it with `mre log`.", "INTERNAL_ERROR"
    ),
}


class Envelope(Struct, frozen=True):
    """A failure as everybody sees it. Never holds HTML or a stack trace."""

    code: str  # INGESTION_FAILED and its few siblings
    stage: Stage
    message: str  # one sentence: what happened
    details: dict[str, Any] = field(
        default_factory=dict
    )  # kind, retryable, remedy; url, page_type, race_id, field, selector …


def encode_envelope(envelope: Envelope) -> str:
    """The envelope as JSON text, as run records keep it."""
    return encode(envelope).decode()


class PipelineError(Exception):
    """A failure with a kind. `details` holds JSON-ready facts; `stage` is given where it is not the kind's own."""

    def __init__(self, kind: Kind, message: str, *, stage: Stage | None = None, **details: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.stage = stage or TABLE[kind].stage
        self.details = {k: v for k, v in details.items() if v is not None}

    @property
    def rule(self) -> Rule:
        return TABLE[self.kind]

    @property
    def retryable(self) -> bool:
        return self.rule.retryable

    def with_details(self, **details: Any) -> PipelineError:
        """Add facts that only an outer layer knows (run id, race id); what is already there stays."""
        self.details = {**{k: v for k, v in details.items() if v is not None}, **self.details}
        return self

    def envelope(self) -> Envelope:
        rule = self.rule
        return Envelope(
            code=rule.code,
            stage=self.stage,
            message=self.message,
            details={"kind": str(self.kind), "retryable": rule.retryable, "remedy": rule.remedy, **self.details},
        )


class FetchError(PipelineError):
    """Raised by the connector's HTTP side."""


class ParseError(PipelineError):
    """Raised by page readers."""


class NormaliseError(PipelineError):
    """Raised while pages become a document, or by validation."""


class StoreError(PipelineError):
    """Raised by the database or the page archive."""


class StateError(PipelineError):
    """Raised where a request is refused: a held lock, an illegal transition, a closed gate, bad input."""
