"""Who may do what: bearer tokens with a scope, kept as hashes in a file of the data folder, and limits on how much.

Without any token the API answers only on a loopback address, to everybody who can reach it there; `mre serve` refuses
any other address then. A token is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError

FILE_NAME = "api-tokens.json"
READ, OPERATE = "read", "operate"  # operate may read, too
SCOPES = (READ, OPERATE)
BURST = 60  # requests that may come at once from one caller
PER_SECOND = 20.0  # and how fast new ones are allowed


class Token(Struct, frozen=True):
    """A token as it is kept."""

    name: str
    scope: str
    sha256: str
    made_at: int  # UTC milliseconds, this machine's clock


class Caller(Struct, frozen=True):
    """Who asks."""

    name: str
    scope: str


class TokenFile:
    """The tokens of one installation. Changes by other processes are seen at the next request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_as: tuple[int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def tokens(self) -> tuple[Token, ...]:
        """All of them. Raises StateError USAGE where the file cannot be read: then nobody is let in."""
        with self._lock:
            try:
                state = self._path.stat()
                if (state.st_mtime_ns, state.st_ino) != self._read_as:
                    self._tokens = msgspec.json.decode(self._path.read_bytes(), type=tuple[Token, ...])
                    self._read_as = (state.st_mtime_ns, state.st_ino)
            except FileNotFoundError:
                self._tokens, self._read_as = (), None
            except (OSError, msgspec.DecodeError) as error:
                raise StateError(Kind.USAGE, f"The token file {self._path} cannot be read: {error}.") from error
            return self._tokens

    def add(self, name: str, scope: str) -> str:
        """Make a token; returned is what its bearer sends. Raises StateError USAGE for a name that is taken."""
        if not name.isidentifier() and not name.replace("-", "_").isidentifier():
            raise StateError(Kind.USAGE, f"{name!r} is no name for a token: letters, digits and dashes.")
        kept = self.tokens()
        if any(token.name == name for token in kept):
            raise StateError(Kind.USAGE, f"There is a token {name} already; revoke it first.")
        secret = f"mre_{secrets.token_urlsafe(32)}"
        self._write((*kept, Token(name, scope, _hash(secret), time.time_ns() // 1_000_000)))
        return secret

    def revoke(self, name: str) -> None:
        """Take a token's access away at once. Raises StateError USAGE where there is none of that name."""
        kept = self.tokens()
        left = tuple(token for token in kept if token.name != name)
        if len(left) == len(kept):
            raise StateError(Kind.USAGE, f"There is no token {name}.", remedy="See `mre tokens list`.")
        self._write(left)

    def caller(self, secret: str) -> Caller | None:
        """Whose token that is; None for one that is not known."""
        wanted = _hash(secret)
        found = [token for token in self.tokens() if secrets.compare_digest(token.sha256, wanted)]
        return Caller(found[0].name, found[0].scope) if found else None

    def _write(self, tokens: tuple[Token, ...]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".tokens-")  # readable by its owner only
            with os.fdopen(handle, "wb") as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self._path)
        except OSError as error:
            raise StateError(Kind.USAGE, f"The token file {self._path} cannot be written: {error}.") from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()  # 256 random bits need no slow hash


class RateLimit:
    """A bucket of requests for each caller. Safe in any thread."""

    def __init__(
        self, burst: int = BURST, per_second: float = PER_SECOND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # caller → requests left, as of when

    def take(self, caller: str) -> None:
        """Count one request. Raises StateError TOO_MANY_REQUESTS."""
        with self._lock:
            now = self._clock()
            if len(self._buckets) > 10_000:  # addresses come and go; who comes back finds a full bucket
                self._buckets.clear()
            left, at = self._buckets.get(caller, (float(self._burst), now))
            left = min(self._burst, left + (now - at) * self._per_second)
            self._buckets[caller] = (max(left - 1, 0.0), now)
        if left < 1:
            raise StateError(Kind.TOO_MANY_REQUESTS, "Too many requests at once; slow down.", retry_after_s=1)
