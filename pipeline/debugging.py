"""What `--debug` keeps beside a run: every page as served and what the readers made of it, for any editor to open."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import records
from pipeline.errors import Kind, StoreError
from pipeline.liverc.urls import PageRef


class PageFolder:
    """A folder of one run's pages (`race_result.6304829.html`) and records (`….json`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_page(self, body: bytes, ref: PageRef) -> None:
        self._write(ref, ".html", body)

    def keep_record(self, record: records.PageRecord, ref: PageRef) -> None:
        encoded = msgspec.json.Encoder(decimal_format="number").encode(record)
        self._write(ref, ".json", msgspec.json.format(encoded, indent=1))

    def _write(self, ref: PageRef, suffix: str, content: bytes) -> None:
        path = self.folder / f"{ref.page_type}.{ref.id or ref.slug or 'page'}{suffix}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise StoreError(
                Kind.ARCHIVE_FAILED,
                f"the page could not be kept for --debug: {error.strerror or error}",
                path=str(path),
            ) from error
