"""`mre serve`: the HTTP API, until it is told to end."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from types import FrameType

    from pipeline.service import Service

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
STOP_S = 5  # what requests under way may still take


def command(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one.")] = 8411,
) -> None:
    """Serve the HTTP API; see /openapi.json. Other machines are let in only once there are tokens."""
    try:
        import uvicorn

        from mre_console.api.access import FILE_NAME, TokenFile
        from mre_console.api.app import create_app
    except ImportError as error:
        raise StateError(
            Kind.MISSING_EXTRA, "The HTTP API is not installed.", remedy="pip install 'mre-console[api]'"
        ) from error
    with open_service(ctx) as service:
        tokens = TokenFile(service.settings.data / FILE_NAME)
        loopback = is_loopback(host)
        if not loopback and not tokens.tokens():
            raise StateError(
                Kind.USAGE,
                f"{host} can be reached by other machines, and no token was made: everybody could do everything.",
                remedy="Make one with `mre tokens add NAME --scope read|operate`, or listen on 127.0.0.1.",
            )
        service.store  # noqa: B018  a database that cannot be used is said before anything listens
        listening = _listen(host, port)
        app = create_app(service, tokens, hosts=LOOPBACK_NAMES if loopback else ())
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=STOP_S
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                """Runs end as interrupted while the requests that wait for them are still there to hear it."""
                service.stop("the server was stopped")
                super().handle_exit(sig, frame)

        narrate(f"serving on http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}")
        Server(config).run(sockets=[listening])
        _wait_for_runs(service)


def _wait_for_runs(service: Service) -> None:
    """A run that was asked to stop gives its lock back; that may take it until the next page."""
    service.stop("the server was stopped")
    until = time.monotonic() + STOP_S
    while service.running_here() and time.monotonic() < until:
        time.sleep(0.02)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address. Raises StateError USAGE for one that is none."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise StateError(Kind.USAGE, f"{host!r} is no address to listen on: {error.strerror}.") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise StateError(
            Kind.USAGE,
            f"Nothing can be served on {host} port {port}: {error.strerror}.",
            remedy="Choose another --port.",
        ) from error
    return listening
