"""How a screen asks a question that may block: in a thread of its own, answered on the user interface's thread.

Textual's thread workers are waited for when the program quits; these daemon threads are not, so a slow database or site
never holds up quitting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pipeline.errors import Kind, PipelineError

Answer = TypeVar("Answer")


async def off_loop(question: Callable[[], Answer], name: str = "question") -> Answer:
    """Call `question` in a thread of its own and return its answer.

    Raises:
        PipelineError: what the question raised; anything else it raised, as INTERNAL.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def settle(value: Answer | None, error: PipelineError | None) -> None:
        if answered.cancelled():
            return  # the screen that asked is gone
        if error is not None:
            answered.set_exception(error)
        else:
            answered.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, error = None, None
        try:
            value = question()
        except PipelineError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - the console shows every failure and survives it
            error = unexpected(failure)
        with suppress(RuntimeError):  # the program has quit meanwhile
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name=f"console-{name}", daemon=True).start()
    return await answered


def unexpected(failure: Exception) -> PipelineError:
    """A fault of the program as an error that can be shown."""
    return PipelineError(Kind.INTERNAL, f"{type(failure).__name__}: {failure}"[:300])
