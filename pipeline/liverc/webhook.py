"""One JSON POST to an address of the operator's choosing. Not part of LiveRC: here because this room owns HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_S = 5.0  # in all, from connecting to the last byte of the answer


def post(url: str, message: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S) -> str | None:
    """Send a message, once. None where it was taken, else why not, without the address. Never raises."""
    outcome: list[str | None] = []

    def send() -> None:
        try:
            limits = httpx.Timeout(timeout_s).as_dict()
            request = httpx.Request("POST", url, json=dict(message), extensions={"timeout": limits})
            with httpx.HTTPTransport() as transport:  # not a Client: that logs every address
                answer = transport.handle_request(request)
                answer.close()
            outcome.append(None if answer.is_success else f"it answered {answer.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:  # their texts may quote the address
            outcome.append(type(error).__name__)

    # The library's limits are per read: a receiver that drips would hold the sender for as long as it likes.
    sender = threading.Thread(target=send, name="drift-webhook", daemon=True)
    sender.start()
    sender.join(timeout_s)
    return outcome[0] if outcome else f"no answer within {timeout_s:g} s"
