"""Telling people that LiveRC may have changed: a report on the bus, and a JSON message to a webhook where one is set.

The journal's warning is written where the thing happens, in its transaction; here is only what may be lost. A webhook
gets a few seconds, once; that it failed is logged, without its address, which may hold a secret.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeline.observe import Bus, Report

if TYPE_CHECKING:
    from pipeline.drift import Case
    from pipeline.signals import PageReading

logger = logging.getLogger("mre.pipeline")


class Alarm(Struct, frozen=True):
    """Whom to tell."""

    bus: Bus
    webhook: str | None = None  # http(s) URL that takes a JSON POST

    def case(self, case: Case) -> None:
        """A case was opened or decided: drift_suspected, drift_confirmed, drift_event_only."""
        said = case.verdict or case.reason
        self._tell(
            f"drift_{case.state}",
            f"drift case {case.id} ({case.page_type}): {said}",
            "error" if case.blocks else "warning",
            event_id=case.event_id,
            fields={
                "case": case.id,
                "page_type": case.page_type,
                "state": case.state,
                "event": case.event,
                "field": case.field,
                "reason": case.reason,
            },
        )

    def structure(self, page: PageReading, message: str) -> None:
        """A page looks new and still reads without doubt."""
        self._tell(
            "drift_structure_changed",
            message,
            "warning",
            fields={"page_type": page.page_type, "url": page.url, "digest": page.digest, "build": page.build_marker},
        )

    def canary(self, event: str, message: str) -> None:
        """A canary event no longer reads as it did."""
        self._tell("drift_canary_failed", f"canary {event}: {message}", "warning", fields={"event": event})

    def _tell(
        self, name: str, message: str, severity: str, *, event_id: int | None = None, fields: dict[str, Any]
    ) -> None:
        fields = {key: value for key, value in fields.items() if value is not None}
        self.bus.publish(Report(name, message, severity, event_id=event_id, fields=fields))
        if self.webhook is not None:
            from pipeline.liverc.webhook import post

            failure = post(self.webhook, {"name": name, "message": message, "severity": severity, **fields})
            if failure is not None:
                logger.warning("the drift webhook did not take %s: %s", name, failure)
