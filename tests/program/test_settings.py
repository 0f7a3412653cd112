"""Four sources, one winner, and a refusal that names the source: the settings."""

from __future__ import annotations

import json
import stat
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mre_console.settings as settings_module
from mre_console.settings import (
    Settings,
    load_settings,
    masked_url,
    save_contact,
    shipped_fixtures,
    with_contact,
)
from pipeline.errors import Kind, StateError


class Place:
    """A configuration file in a folder of the test's own, and an environment that names it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.toml"
        self.environ = {"MRE_CONFIG": str(self.file)}
        self.warnings: list[str] = []

    def load(self, flags: Mapping[str, str | None] | None = None, **environ: str) -> Settings:
        return load_settings(flags, {**self.environ, **environ}, self.warnings.append)

    def refusal(self, flags: Mapping[str, str | None] | None = None, **environ: str) -> StateError:
        with pytest.raises(StateError) as caught:
            self.load(flags, **environ)
        assert caught.value.kind is Kind.USAGE
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_without_anything_the_defaults_hold_and_say_so(place: Place) -> None:
    settings = place.load()
    assert settings.crawl_delay == 1.0
    assert settings.site is None
    assert settings.contact is None
    assert settings.db == str(settings.data / "mre.sqlite3")
    assert set(settings.sources.values()) == {"default"}


def test_flag_beats_environment_beats_file_beats_default(place: Place) -> None:
    place.file.write_text("crawl_delay = 4\n")
    assert (place.load().crawl_delay, place.load().sources["crawl_delay"]) == (4.0, str(place.file))
    from_environment = place.load(MRE_CRAWL_DELAY="3")
    assert (from_environment.crawl_delay, from_environment.sources["crawl_delay"]) == (3.0, "MRE_CRAWL_DELAY")
    from_flag = place.load({"crawl_delay": "2"}, MRE_CRAWL_DELAY="3")
    assert (from_flag.crawl_delay, from_flag.sources["crawl_delay"]) == (2.0, "--crawl-delay")


def test_a_value_that_is_overridden_is_not_judged(place: Place) -> None:
    assert place.load({"site": "http://127.0.0.1:1"}, MRE_SITE="nonsense").site == "http://127.0.0.1:1"


def test_an_empty_variable_counts_as_unset(place: Place) -> None:
    assert place.load(MRE_CONTACT="", MRE_SITE="").sources["contact"] == "default"


def test_the_default_database_lies_in_the_data_folder_that_was_chosen(place: Place, tmp_path: Path) -> None:
    settings = place.load({"data": str(tmp_path / "elsewhere")})
    assert settings.db == str(tmp_path / "elsewhere" / "mre.sqlite3")
    assert settings.sources["db"] == "default"


def test_a_relative_database_file_does_not_depend_on_a_later_change_of_folder(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert place.load({"db": "here.db"}).db == str(tmp_path / "here.db")


BAD = [
    ("site", "127.0.0.1:8080"),
    ("site", "ftp://127.0.0.1:8080"),
    ("site", "http://127.0.0.1:8080/results"),
    ("site", "http://127.0.0.1:8080?x=1"),
    ("site", "http://user:pw@127.0.0.1:8080"),
    ("site", "http://127.0.0.1:0"),
    ("site", "http://127.0.0.1:99999"),
    ("site", "http://:8080"),
    ("site", "http://a b:80"),
    ("site", "http://[::1"),
    ("crawl_delay", "soon"),
    ("crawl_delay", "-0.1"),
    ("crawl_delay", "nan"),
    ("crawl_delay", "inf"),
    ("contact", "me"),
    ("contact", "me@example"),
    ("contact", "a@example.org\r\nX-Injected: yes"),
    ("contact", "a@example.org\n"),
    ("contact", "Jane Doe <a@example.org>"),
    ("contact", "https://"),
    ("contact", "javascript://example.org"),
    ("db", "mysql://localhost/x"),
    ("db", "sqlite://x.db"),
    ("db", "x.db?mode=sideways"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_with_its_name_and_source(place: Place, name: str, value: str) -> None:
    flag, variable = "--" + name.replace("_", "-"), f"MRE_{name.upper()}"
    by_flag = place.refusal({name: value})
    assert by_flag.details["setting"] == name
    assert by_flag.details["source"] == flag
    assert name in by_flag.message
    assert "must be" in by_flag.message
    by_environment = place.refusal(None, **{variable: value})
    assert by_environment.details["source"] == variable
    assert variable in str(by_environment.envelope().details["remedy"])


@pytest.mark.parametrize(
    "value", ["ops@example.org", "a.b+c@sub.example.co.uk", "https://example.org/contact", "http://example.org:8080/"]
)
def test_contacts_that_people_have_are_accepted(place: Place, value: str) -> None:
    assert place.load({"contact": value}).contact == value


@pytest.mark.parametrize("value", ["http://127.0.0.1:8080", "https://mirror.example.org", "http://[::1]:8080"])
def test_sites_are_accepted_and_a_last_slash_is_dropped(place: Place, value: str) -> None:
    assert place.load({"site": value}).site == value
    assert place.load({"site": value + "/"}).site == value


@given(st.text(max_size=60))
def test_whatever_is_accepted_as_contact_can_stand_in_a_header(text: str) -> None:
    try:
        contact = load_settings({"contact": text}, {"MRE_CONFIG": "/nonexistent/config.toml"}).contact
    except StateError:
        return
    assert contact is not None
    assert contact.isascii()
    assert contact.isprintable()
    assert not set(' ()<>"\\,;') & set(contact)


def test_a_file_where_a_folder_belongs_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in place.refusal({"data": str(tmp_path / "file")}).message


def test_a_folder_that_cannot_be_looked_at_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", fails)
        with pytest.raises(ValueError, match="Permission denied"):
            settings_module._folder("/secret")


# ---------------------------------------------------------------- config.toml


def test_unknown_keys_are_named_and_the_known_ones_still_count(place: Place) -> None:
    place.file.write_text('crawl-delay = 3\ncontact = "a@example.org"\n[colour]\nx = 1\n')
    assert place.load().contact == "a@example.org"
    (warning,) = place.warnings
    assert "colour" in warning
    assert "crawl-delay" in warning
    assert str(place.file) in warning


@pytest.mark.parametrize(
    "text", ["db = 5", "crawl_delay = '2'", "crawl_delay = true", "contact = ['a@example.org']", "site = 'nope'"]
)
def test_a_bad_value_in_the_file_names_the_file(place: Place, text: str) -> None:
    place.file.write_text(text)
    refusal = place.refusal()
    assert refusal.details["source"] == str(place.file)
    assert refusal.details["setting"] == text.split()[0]


@pytest.mark.parametrize("content", [b"db = ", b"\xff\xfe"])
def test_an_unreadable_file_is_named(place: Place, content: bytes) -> None:
    place.file.write_bytes(content)
    assert str(place.file) in place.refusal().message


# ---------------------------------------------------------------- secrets


SECRETS = [
    "postgresql://me:s3cret@db.example.org/mre",
    "postgres://me:s3cret@db.example.org:5432/mre?sslmode=require",
    "postgresql://db.example.org/mre?user=me&password=s3cret",
    "postgresql://me:s3cret%40x@db.example.org/mre",
    "postgresql://me:s3cret:x@db.example.org/mre",
    "postgresql://me:x@s3cret@db.example.org/mre",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_never_shown(place: Place, url: str) -> None:
    settings = place.load({"db": url})
    assert settings.db == url
    shown = json.dumps([[one.name, one.value, one.source] for one in settings.shown()])
    assert "s3cret" not in shown
    assert "db.example.org" in shown
    assert "s3cret" not in masked_url(url)


@pytest.mark.parametrize(
    "url", ["mysql://me:s3cret@h/mre", "postgresql://me:s3cret@[h/mre", "postgresql://s3cret@\u2100/x"]
)
def test_a_refused_database_url_does_not_show_its_password(place: Place, url: str) -> None:
    refusal = place.refusal({"db": url})
    assert "s3cret" not in str(refusal.envelope())


# ---------------------------------------------------------------- the contact that was asked for


def test_a_saved_contact_is_read_again(place: Place) -> None:
    save_contact("ops@example.org", place.file)
    assert place.load().contact == "ops@example.org"
    if sys.platform != "win32":
        assert stat.S_IMODE(place.file.stat().st_mode) == 0o600


CONFIGS = [
    "",
    "# mine\n\ncrawl_delay = 2.0  # slow\n",
    'contact = "old@example.org"\ndb = "x.db"\n',
    'db = "x.db"\n  contact="old@example.org" # note\n[later]\ncontact = "not this one"\n',
    '[later]\ncontact = "not this one"\n',
    'db = "x.db"',
    "db = 'x.db'\r\nsite = 'http://127.0.0.1:1'\r\n",
]


@pytest.mark.parametrize("before", CONFIGS)
def test_saving_the_contact_changes_nothing_else(place: Place, before: str) -> None:
    place.file.write_bytes(before.encode())
    save_contact("new@example.org", place.file)
    after = place.file.read_bytes().decode()
    assert tomllib.loads(after) == {**tomllib.loads(before), "contact": "new@example.org"}
    untouched = [line for line in before.splitlines(keepends=True) if "contact" not in line]
    assert [line for line in after.splitlines(keepends=True) if "contact" not in line] == untouched


@pytest.mark.parametrize("before", ['note = """\ncontact = 1\n"""\n', "broken ="])
def test_a_file_that_a_small_edit_would_damage_is_left_alone(place: Place, before: str) -> None:
    place.file.write_text(before)
    with pytest.raises(StateError, match="could not be saved") as caught:
        save_contact("new@example.org", place.file)
    assert "MRE_CONTACT" in caught.value.envelope().details["remedy"]
    assert place.file.read_text() == before
    assert list(place.file.parent.iterdir()) == [place.file]


def test_a_linked_configuration_file_stays_a_link(place: Place, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("crawl_delay = 2\n")
    place.file.symlink_to(real)
    save_contact("new@example.org", place.file)
    assert place.file.is_symlink()
    assert "new@example.org" in real.read_text()


def test_a_bad_answer_is_refused_before_anything_is_written(place: Place) -> None:
    with pytest.raises(StateError):
        save_contact("nonsense", place.file)
    assert not place.file.exists()
    with pytest.raises(StateError):
        with_contact(place.load(), "nonsense")


def test_an_answer_takes_effect_at_once(place: Place) -> None:
    settings = with_contact(place.load(), "me@example.org")
    assert (settings.contact, settings.sources["contact"]) == ("me@example.org", "your answer")


def test_the_checkout_has_its_fixtures() -> None:
    assert shipped_fixtures() == Path(__file__).parents[2] / "fixtures"
