"""The switch, the machine's resources and the banner by keys, and what is refused while ingestion is disabled."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from pipeline.errors import Kind
from pipeline.resources import Resources
from pipeline.store.control import ControlRow
from screens.allowing import READ_ONLY
from screens.checks import ChecksScreen
from screens.confirming import ConfirmScreen
from screens.home import HomeScreen
from screens.picture import Picture
from screens.reading import ReadingScreen
from screens.resources import ResourcesScreen, resource_lines, size
from screens.summary import notices
from screens.switch import SwitchScreen
from screens.telling import plain
from screens.widgets.header import Facts, header_line
from screens.widgets.tick import Tick
from tests.screens.fake_recovery import check_report
from tests.screens.fakes import DISABLED, LOCKS, MACHINE, FakeService, busy_service, console, failure
from tests.screens.pictures import play, press_all, settled

Console = Pilot[str | None]
PROTECTED = msgspec.structs.replace(DISABLED, mode="protected")
NEEDS = "the checks have not passed since it was disabled"


def said(pilot: Console) -> list[str]:
    return [note.message for note in pilot.app._notifications]


def shown(pilot: Console, selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


# ---------------------------------------------------------------- disabling


def test_d_disables_with_a_reason_and_y() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "d")
        assert "2 runs under way stop" in shown(pilot, "#known Static")
        await press_all(pilot, (*"why", "enter"))
        assert service.called == []
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert said(pilot) == ["Nothing is fetched or published any more. d enables it again."]
        assert "ann (just now): why" in shown(pilot, "#notices")

    play(console(service), steps)
    assert service.called == [("disable", "why", False)]


def test_protecting_is_a_tick_that_reads_the_same_without_colours() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("d", *"why", "tab", "space"))
        assert str(pilot.app.screen.query_one(Tick).render()).startswith("[x] protect")
        await press_all(pilot, ("space", "space", "y"))

    play(console(service), steps)
    assert service.called == [("disable", "why", True)]


def test_nothing_is_disabled_without_a_reason_or_by_the_same_key_again() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("d", "enter", "tab", "y"))
        assert isinstance(pilot.app.screen, ConfirmScreen)
        assert "Nothing was typed" in shown(pilot, "#message")
        await press_all(pilot, ("d", "d", "enter", "d", "escape"))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == []


def test_somebody_who_hangs_while_publishing_is_told() -> None:
    service = busy_service()
    disable = service.disable
    service.disable = lambda **said: msgspec.structs.replace(disable(**said), publishing=True)  # type: ignore[method-assign]

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("d", *"why", "enter", "y"))
        assert "still hangs inside a publishing transaction" in said(pilot)[0]

    play(console(service), steps)


# ---------------------------------------------------------------- enabling


def test_what_is_missing_is_shown_and_the_checks_are_a_key_away() -> None:
    service = busy_service(switch=DISABLED, enable_needs=NEEDS, checked=check_report(event=None))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("d", "y"))
        assert isinstance(pilot.app.screen, SwitchScreen)
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "close"
        told = shown(pilot, "Static")
        assert all(part in told for part in (NEEDS, "ann", "LiveRC changed its pages", "2025-11-16 16:58:00 UTC"))
        await press_all(pilot, "v")
        assert isinstance(pilot.app.screen, ChecksScreen)
        service.enable_needs = None  # they have passed
        await press_all(pilot, ("escape",))
        assert "All checks passed" in shown(pilot, "Static")
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert said(pilot) == ["Ingestion is enabled."]
        assert "disabled" not in shown(pilot, "#notices")

    play(console(service), steps)
    assert [call for call in service.called if call[0] == "enable"] == [("enable", "")]


def test_enabling_can_be_refused_at_the_last_moment() -> None:
    service = busy_service(switch=DISABLED)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "d")
        service.refusal = failure(Kind.CHECKS_FAILED, f"Ingestion stays disabled: {NEEDS}")
        service.enable_needs = NEEDS
        await press_all(pilot, "y")
        assert isinstance(pilot.app.screen, ReadingScreen)
        await press_all(pilot, ("escape",))
        assert NEEDS in shown(pilot, "Static")
        assert "y" not in pilot.app.screen.active_bindings

    play(console(service), steps)


def test_escape_leaves_the_switch_as_it_is() -> None:
    service = busy_service(switch=PROTECTED)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("d", "d", "enter"))  # Close has the focus
        assert isinstance(pilot.app.screen, HomeScreen)
        await press_all(pilot, ("d", "escape"))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)
    assert service.called == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("switch", [DISABLED, PROTECTED], ids=lambda switch: str(switch.mode))
def test_a_switch_that_is_off_greys_what_fetches_and_says_who_and_why(switch: ControlRow) -> None:
    service = busy_service(switch=switch)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", *"artu"))
        enabled = {key: pilot.app.screen.active_bindings[key].enabled for key in "artuldme"}
        assert [key for key, free in enabled.items() if free] == [*"ldme"]
        assert [text.endswith("ann said: LiveRC changed its pages") for text in said(pilot)] == [True]

    play(console(service), steps)
    assert service.called == []


def test_read_only_greys_every_action_and_says_why() -> None:
    service = busy_service(read_only=True)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", *"artud"))
        enabled = {key: pilot.app.screen.active_bindings[key].enabled for key in "artudlme"}
        assert [key for key, free in enabled.items() if free] == [*"lme"]
        assert said(pilot) == [READ_ONLY]

    play(console(service), steps)
    assert service.called == []


def test_a_failed_event_is_not_retried_from_its_failure_while_ingestion_is_disabled() -> None:
    service = busy_service(switch=DISABLED)

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("j", "j", "e", "r"))
        assert isinstance(pilot.app.screen, HomeScreen)
        assert "ann said" in said(pilot)[0]

    play(console(service), steps)
    assert ("start_ingest", "thornhill/4863") not in service.called


def test_a_key_without_anything_to_act_on_says_so() -> None:
    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("escape", "r", "e"))
        assert said(pilot) == ["There is no event under the cursor."]

    play(console(FakeService()), steps)


def test_keys_are_free_again_when_the_switch_is() -> None:
    service = busy_service(switch=DISABLED)

    async def steps(pilot: Console) -> None:
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        assert not home.active_bindings["r"].enabled
        service.switch = msgspec.structs.replace(DISABLED, mode="enabled")
        home._source.nudge()
        await settled(pilot)
        assert home.active_bindings["r"].enabled

    play(console(service), steps)


# ---------------------------------------------------------------- the header and the banner


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("badge", ["DISABLED", "PROTECTED READ-ONLY"])
def test_the_badge_is_in_the_first_line_at_every_width(badge: str, width: int) -> None:
    facts = Facts("~/.local/share/mre/mre.sqlite3", "liverc.com", 7, warnings=2, age_s=0.5, badge=badge)
    assert f"■ {badge}" in "".join(phrase.text for phrase in header_line(facts, width))


def picture(service: FakeService, **facts: object) -> Picture:
    return Picture(service.snapshot(), 100.0, **facts)  # type: ignore[arg-type]


def test_the_banner_names_the_switch_expired_locks_and_what_could_not_be_released() -> None:
    untidied = failure(Kind.DB_BUSY, "the database is locked").envelope()
    first, second, third = plain(notices(picture(busy_service(switch=PROTECTED), untidied=untidied))).splitlines()
    assert first == "■ The database is protected. ann (12 min ago): LiveRC changed its pages  d enables"
    assert second.startswith("▲ The lock of canberraoffroad/486677 expired; its holder is dead: process 4690 does not")
    assert third == "▲ Locks of dead holders could not be released: the database is locked [DB_BUSY]"
    late = tuple(msgspec.structs.replace(lock, expired=True) for lock in LOCKS)
    (line,) = plain(notices(picture(busy_service(locks=late)))).splitlines()
    assert line == "▲ 2 locks expired: thornhill/4861, canberraoffroad/486677  l looks"
    assert notices(picture(busy_service(locks=LOCKS[:1]))) == []
    assert notices(Picture()) == []


# ---------------------------------------------------------------- the machine


def test_m_shows_the_resources_and_copies_them() -> None:
    service = busy_service()

    async def steps(pilot: Console) -> None:
        await press_all(pilot, ("m", "c"))
        assert isinstance(pilot.app.screen, ResourcesScreen)
        for part in ("412 MiB, SQLite", "38.0 GiB free of 119 GiB", "27 of 1,024", "41 s, run 59"):
            assert part in pilot.app.clipboard
        await press_all(pilot, ("escape",))
        assert isinstance(pilot.app.screen, HomeScreen)

    play(console(service), steps)


def test_resources_that_cannot_be_read_are_said_in_place() -> None:
    service = busy_service(refusal=failure(Kind.DB_BUSY, "the database is locked"))

    async def steps(pilot: Console) -> None:
        await press_all(pilot, "m")
        assert "the database is locked" in shown(pilot, "Static")

    play(console(service), steps)


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({}, None),
        ({"disk_free": 900 * 1024**2}, "Disk        ▲"),
        ({"disk_free": 90 * 1024**2}, "Disk        ✗"),
        ({"memory_available": 1024**3}, "Memory      ▲"),
        ({"open_files": 900}, "Open files  ▲"),
    ],
)
def test_what_runs_out_is_marked(changes: dict[str, int], mark: str | None) -> None:
    text = plain(resource_lines(msgspec.structs.replace(MACHINE, **changes), "db"))
    assert ("▲" in text or "✗" in text) == (mark is not None)
    assert mark is None or mark in text


def test_what_a_system_does_not_tell_is_said() -> None:
    bare: Resources = msgspec.structs.replace(MACHINE, open_files=None, open_files_limit=None, oldest_run=None, runs=0)
    text = plain(resource_lines(bare, "db"))
    assert "this system does not tell" in text
    assert "no run is under way" in text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 KiB"), (2_048, "2 KiB"), (5 * 1024**2, "5 MiB"), (3 * 1024**3 // 2, "1.5 GiB")]
)
def test_sizes_for_people(number: int, text: str) -> None:
    assert size(number) == text
