"""From the bytes of an answer's body to a page that is whole, or the reason why it is not. Touches no network.

HTTP lets a body end early without anybody noticing: a close-delimited one, or a gzip stream that just stops. Hence the
checks here, and `</html>` as the last proof.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from pipeline.errors import FetchError, Kind

_GZIP = 31  # zlib's window bits for a gzip header and checksum


def read_body(chunks: Iterable[bytes], encoding: str, cap: int) -> tuple[bytes, bytes]:
    """Decode a body as it streams in → (decoded bytes, bytes as sent), the same object where nothing was encoded.

    Raises FetchError: TOO_LARGE as soon as more than `cap` decoded bytes are there (a small compressed body can hold
    gigabytes), TRUNCATED for a gzip stream that is damaged or stops early, HTTP_STATUS for an encoding never asked for.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _plain(chunks, cap)
    if encoding in ("gzip", "x-gzip"):
        return _gunzip(chunks, cap)
    raise FetchError(
        Kind.HTTP_STATUS, f"The site sent the page in the encoding {encoding[:40]!r}, which was not asked for."
    )


def _plain(chunks: Iterable[bytes], cap: int) -> tuple[bytes, bytes]:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > cap:
            raise too_large(cap)
        parts.append(chunk)
    body = b"".join(parts)
    return body, body


def _gunzip(chunks: Iterable[bytes], cap: int) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(_GZIP)
    sent: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            sent.append(chunk)
            rest = chunk
            while rest:
                if stream.eof:  # a gzip body may consist of several members
                    stream = zlib.decompressobj(_GZIP)
                part = stream.decompress(rest, cap - size + 1)
                size += len(part)
                if size > cap:
                    raise too_large(cap)
                parts.append(part)
                rest = stream.unconsumed_tail or stream.unused_data
    except zlib.error as error:
        raise FetchError(Kind.TRUNCATED, "The page arrived damaged: its compressed body cannot be read.") from error
    if any(sent) and not stream.eof:
        raise FetchError(Kind.TRUNCATED, "The page arrived incomplete: its compressed body stops early.")
    return b"".join(parts), b"".join(sent)


def too_large(cap: int) -> FetchError:
    return FetchError(Kind.TOO_LARGE, f"The page is larger than {cap / 1048576:.0f} MiB and was not read to its end.")


def require_html(body: bytes, content_type: str) -> None:
    """Raise unless the body is an HTML page that is there to its end; white space may follow `</html>`.

    Raises FetchError: PAGE_UNRECOGNISED if the server itself says that it is something else, TRUNCATED otherwise.
    """
    if body.rstrip()[-7:].lower() == b"</html>":
        return
    declared = content_type.partition(";")[0].strip().lower()
    if declared and declared not in ("text/html", "application/xhtml+xml"):
        raise FetchError(Kind.PAGE_UNRECOGNISED, f"The site sent {declared[:80]!r} where an HTML page was expected.")
    raise FetchError(Kind.TRUNCATED, "The page arrived incomplete: it does not end with </html>.")
