"""Waiting without sleeping: until every question that a screen asked has been answered and drawn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, cast

from screens.background import THREAD_PREFIX

if TYPE_CHECKING:
    from textual.app import AutopilotCallbackType as AutoPilot
    from textual.pilot import Pilot

    from mre_console.app import ConsoleApp

END_AT_LATEST_S = 30  # a test that gets there has failed
SIZES = ((80, 24), (120, 36), (200, 50))


QUIET_ROUNDS = 6  # an answer leads to a message, that to a worker, that to the next question, and so on


async def settled(pilot: Pilot[str | None]) -> None:
    """Return once nothing is on its way any more: messages, answers, what the answers led to."""
    quiet = 0
    while quiet < QUIET_ROUNDS:
        await pilot.pause(0)  # every widget has worked off what it was sent, and the screen is drawn
        asking = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
        for thread in asking:
            await asyncio.to_thread(thread.join)
        quiet = 0 if asking else quiet + 1


def after(*keys: str) -> Callable[[Pilot[str | None]], Awaitable[None]]:
    """For `snap_compare`: press the keys one by one, letting each take effect."""

    async def press(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, keys)

    return press


async def press_all(pilot: Pilot[str | None], keys: Iterable[str]) -> None:
    await settled(pilot)
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def play(
    app: ConsoleApp, steps: Callable[[Pilot[str | None]], Awaitable[None]], size: tuple[int, int] = (120, 36)
) -> None:
    """Run the app without a terminal, do the steps, close it."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await steps(pilot)

    asyncio.run(run())


def play_to_the_end(app: ConsoleApp, steps: Callable[[Pilot[str | None]], Coroutine[Any, Any, None]]) -> str | None:
    """Run the app without a terminal until it closes by itself, which the last step must bring about; its result."""

    async def run() -> str | None:
        return await asyncio.wait_for(
            app.run_async(headless=True, size=(120, 36), auto_pilot=cast("AutoPilot", steps)), END_AT_LATEST_S
        )

    return asyncio.run(run())
