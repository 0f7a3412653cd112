"""What is masked in a page before it is kept as a fixture: e-mail addresses and IP addresses, never structure.

A mask has the length and the shape of what it covers (letters become x, digits 0), so that markup, positions and value
shapes stay as they were served. Masking twice changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from msgspec import Struct

_EMAIL = re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.([A-Za-z]{2,24})(?![A-Za-z0-9-])")
_HIDDEN_EMAIL = re.compile(rb"((?:data-cfemail=[\"']?|/cdn-cgi/l/email-protection#))([0-9a-fA-F]{8,})")
_IPV4 = re.compile(rb"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.])")
_IPV6 = re.compile(rb"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_FILES = frozenset({b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js"})  # logo@2x.png is no address


class Redacted(Struct, frozen=True):
    """A page with what was masked in it counted."""

    body: bytes
    emails: int
    addresses: int  # IP


def redact(body: bytes, keep: Collection[bytes] = ()) -> Redacted:
    """Mask what must not be kept; what is in `keep` stays as it is, because a document's own values hold it."""
    counts = {"emails": 0, "addresses": 0}

    def masked(kind: str, found: bytes) -> bytes:
        mask = re.sub(rb"[0-9]", b"0", re.sub(rb"[A-Za-z]", b"x", found))
        if found in keep or mask == found:
            return found
        counts[kind] += 1
        return mask

    def email(match: re.Match[bytes]) -> bytes:
        return match[0] if match[1].lower() in _FILES else masked("emails", match[0])

    def hidden(match: re.Match[bytes]) -> bytes:
        zeros = b"0" * len(match[2])
        counts["emails"] += zeros != match[2]
        return match[1] + zeros

    def address(match: re.Match[bytes]) -> bytes:
        return masked("addresses", match[0]) if _is_address(match[0]) else match[0]

    body = _EMAIL.sub(email, body)
    body = _HIDDEN_EMAIL.sub(hidden, body)
    body = _IPV6.sub(address, _IPV4.sub(address, body))
    return Redacted(body, counts["emails"], counts["addresses"])


def personal(text: bytes) -> frozenset[bytes]:
    """Everything in a text that `redact` would mask."""
    found = {match[0] for match in _EMAIL.finditer(text)}
    return frozenset(found | {match[0] for kind in (_IPV4, _IPV6) for match in kind.finditer(text)})


def _is_address(found: bytes) -> bool:
    try:
        ipaddress.ip_address(found.decode())
    except ValueError:
        return False
    return b":" not in found or any(group for group in found.split(b":"))
