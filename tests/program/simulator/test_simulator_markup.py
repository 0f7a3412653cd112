"""The look-alike's markup is changed from outside while it is served."""

from __future__ import annotations

from pathlib import Path

from mre_console.simulator.markup_file import MarkupFile
from tests.support.simulated import body, event_of, every_preset


def test_what_the_file_names_is_served_from_the_next_request_on(tmp_path: Path) -> None:
    said: list[str] = []
    site, file = every_preset(), tmp_path / "markup"
    race = next(one for one in site.addresses(event_of(site, "small")) if "view_race_result" in one[1])
    known = body(site, race)
    site.change_markup(MarkupFile(file, said.append))
    assert body(site, race) == known  # there is no file yet
    file.write_text("header_renamed\nnonsense\n")
    assert b"<th>Best" in body(site, race)
    assert "nonsense" in said[0]
    assert said[1] == "race_result: the column 'Fastest Lap' is now called 'Best'"
    file.write_text("")
    assert body(site, race) == known
    assert said[2:] == ["known markup"]
