"""What a service tells systemd: that it is ready, that it lives, that it stops. One datagram each; elsewhere nothing.

See sd_notify(3): the socket's address stands in NOTIFY_SOCKET, "@" for the abstract name space; WATCHDOG_USEC says how
often systemd wants to hear that the service lives.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY, STOPPING, WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(message: str) -> bool:
    """Tell systemd. False: nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address)
        channel.sendall(message.encode())
        return True
    return False
