"""The command line's frame: options anywhere, lazy commands, one exit code and one shape for every failure."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
import typer

from mre_console.cli import main as frame
from mre_console.cli.output import Progress, print_json, table
from pipeline.errors import TABLE, Kind, PipelineError, StateError

ROOT = Path(__file__).parents[2]
Install = Callable[[Callable[..., None]], None]


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MRE_DB", "MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Adds a command `act` whose body the test gives."""

    def put(body: Callable[..., None]) -> None:
        module = ModuleType("act_for_test")
        module.command = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "act_for_test", module)
        monkeypatch.setitem(frame.COMMANDS, "act", frame.Command("act_for_test:command", "A command of the test."))

    return put


def raising(error: BaseException) -> Callable[..., None]:
    def command(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        raise error

    return command


# ---------------------------------------------------------------- global options anywhere


@pytest.mark.parametrize(
    ("line", "hoisted", "rest"),
    [
        ("ingest a/1 --db x", "--db=x", "ingest a/1"),
        ("--db x ingest a/1", "--db=x", "ingest a/1"),
        ("ingest --db=x a/1 --crawl-delay 0", "--db=x --crawl-delay=0", "ingest a/1"),
        ("ingest a/1 --crawl-delay -1", "--crawl-delay=-1", "ingest a/1"),
        ("ingest -- --db x", "", "ingest -- --db x"),
        ("--site http://h:1 ingest -- a/1 --site b", "--site=http://h:1", "ingest -- a/1 --site b"),
        ("locks clear 1 --reason=--db", "", "locks clear 1 --reason=--db"),
        ("simulator serve --site-file f", "", "simulator serve --site-file f"),
        ("events list --version", "--version", "events list"),
        ("", "", ""),
    ],
)
def test_global_options_are_found_wherever_they_stand(line: str, hoisted: str, rest: str) -> None:
    assert frame.hoist(line.split()) == (hoisted.split(), rest.split())


@pytest.mark.parametrize("line", ["ingest --db", "ingest --db --json", "--contact --"])
def test_a_global_option_without_its_value_is_refused(line: str) -> None:
    with pytest.raises(StateError, match="needs a value"):
        frame.hoist(line.split())


@pytest.mark.parametrize("line", ["--db {db} act", "act --db {db}", "act --db={db}"])
def test_a_command_sees_the_options_wherever_they_stood(install: Install, tmp_path: Path, line: str) -> None:
    seen: list[str] = []

    def command(ctx: typer.Context) -> None:
        seen.append(frame.settings_of(ctx).db)

    install(command)
    assert frame.run(line.format(db=tmp_path / "own.db").split()) == 0
    assert seen == [str(tmp_path / "own.db")]


# ---------------------------------------------------------------- exit codes and shapes


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_failure_has_its_exit_code_and_says_what_to_do(
    install: Install, capsys: pytest.CaptureFixture[str], kind: Kind
) -> None:
    install(raising(PipelineError(kind, "It went wrong.", url="http://h/\x1b[31m?p=1", race_id=None)))
    assert frame.run(["act"]) == TABLE[kind].exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "It went wrong." in shown.err
    assert str(kind) in shown.err
    assert TABLE[kind].remedy in shown.err
    assert "url: http://h/" in shown.err
    assert "\x1b" not in shown.err
    assert "race id" not in shown.err


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OUTPUT_LOST])
def test_with_json_a_failure_is_one_line_on_stdout(
    install: Install, capsys: pytest.CaptureFixture[str], kind: Kind
) -> None:
    install(raising(PipelineError(kind, "It went\nwrong.", race_id="7")))
    assert frame.run(["act", "--json"]) == TABLE[kind].exit_code
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.count("\n") == 1
    envelope = json.loads(shown.out)
    assert set(envelope) == {"code", "stage", "message", "details"}
    assert envelope["details"]["kind"] == kind
    assert envelope["details"]["race_id"] == "7"
    assert envelope["details"]["retryable"] is TABLE[kind].retryable


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "--nonsense",
        "config show --nonsense",
        "config nonsense",
        "config show extra",
        "config show --db",
        "",
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_that_cannot_be_read_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], line: str, as_json: bool
) -> None:
    assert frame.run([*line.split(), *(["--json"] if as_json and line else [])]) == 2
    shown = capsys.readouterr()
    if as_json and line:
        assert json.loads(shown.out)["details"]["kind"] == "USAGE"
    else:
        assert shown.out == ""
        assert "--help" in shown.err


def test_a_noun_without_a_verb_shows_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["config"]) == 2
    assert "show" in capsys.readouterr().err


def test_a_bad_setting_is_a_usage_error_but_does_not_hide_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["config", "show", "--site", "nonsense"]) == 2
    assert "site" in capsys.readouterr().err
    assert frame.run(["config", "show", "--help", "--site", "nonsense"]) == 0


def test_an_unexpected_error_leaves_its_traceback_in_the_log_only(
    install: Install, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install(raising(ZeroDivisionError("the secret of zero")))
    assert frame.run(["act", "--data", str(tmp_path / "elsewhere")]) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    log = tmp_path / "elsewhere" / "mre.log"
    assert str(log) in shown.err
    assert "ZeroDivisionError" in log.read_text()


def test_an_unexpected_error_with_json_is_an_envelope(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(RuntimeError("odd")))
    assert frame.run(["act", "--json"]) == 1
    shown = capsys.readouterr()
    envelope = json.loads(shown.out)
    assert envelope["code"] == "INTERNAL_ERROR"
    assert "Traceback" not in shown.out + shown.err


def test_an_unexpected_error_is_reported_even_where_no_log_can_be_written(
    install: Install, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    install(raising(RuntimeError("odd")))
    assert frame.run(["act", "--data", str(tmp_path / "file" / "below")]) == 1
    assert "RuntimeError" in capsys.readouterr().err


def test_debugging_shows_the_traceback(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRE_DEBUG", "1")
    install(raising(RuntimeError("odd")))
    assert frame.run(["act"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_is_130(install: Install, capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    install(raising(error))
    assert frame.run(["act"]) == 130
    assert "INTERRUPTED" in capsys.readouterr().err
    assert frame.run(["act", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["details"]["kind"] == "INTERRUPTED"


@pytest.mark.parametrize("code", [0, 3, 9])
def test_a_command_may_choose_its_exit_code(install: Install, code: int) -> None:
    install(raising(typer.Exit(code)))
    assert frame.run(["act"]) == code


def test_the_console_is_not_opened_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run([]) == 2
    assert "terminal" in capsys.readouterr().err


# ---------------------------------------------------------------- as a process

# Runs the real entry point with one more command, `act`, whose body is the text that follows.
_PROCESS = """
import sys, types
from mre_console.cli import main as frame
module = types.ModuleType("act_for_test")
{body}
module.command = command
sys.modules["act_for_test"] = module
frame.COMMANDS["act"] = frame.Command("act_for_test:command", "A command of the test.")
sys.argv = ["mre", "act"]
frame.main()
"""


def _process(body: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROCESS.format(body=body)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_process_with_130(name: str) -> None:
    body = "def command():\n    print('ready', flush=True)\n    sys.stdin.read()"
    pipe = subprocess.PIPE
    with _process(body, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("flush", [True, False])
def test_a_reader_that_goes_away_is_no_fault_of_the_program(flush: bool) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    body = f"def command():\n    print('x' * 10, flush={flush})"
    with _process(body, stdout=write_end, stderr=subprocess.PIPE) as process:
        os.close(write_end)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 141
    assert errors == ""


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize(
    ("words", "exit_code", "kind"),
    [
        (["--version"], 74, "OUTPUT_LOST"),
        (["events", "list", "--json"], 74, "OUTPUT_LOST"),
        (["status"], 74, "OUTPUT_LOST"),
        (["events", "show", "1", "--json"], 2, "UNKNOWN_EVENT"),  # which is worth more than why it cannot be told there
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else None,
)
def test_an_answer_that_finds_no_room_is_no_fault_of_the_program(words: list[str], exit_code: int, kind: str) -> None:
    command = [sys.executable, "-c", "from mre_console.cli.main import main; main()", *words]
    with FULL.open("w") as full:
        done = subprocess.run(
            command, cwd=ROOT, text=True, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, "Traceback" in done.stderr) == (exit_code, False), done.stderr
    assert f"({kind})" in done.stderr
    if kind == "OUTPUT_LOST":
        assert "the answer could not be written to stdout: No space left on device" in done.stderr


def test_help_and_version_load_no_heavy_library() -> None:
    heavy = ("peewee", "httpx", "lxml", "textual", "rich", "psycopg", "chompjs", "structlog", "platformdirs")
    code = (
        "import sys\nfrom mre_console.cli.main import run\n"
        "assert run(['--help']) == 0\nassert run(['--version']) == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    for name, command in frame.COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert command.summary.split()[0] in done.stdout


@pytest.mark.parametrize("name", list(frame.COMMANDS))
def test_every_command_of_the_table_is_there_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: mre {name}")


def test_a_list_of_findings_is_shown_line_by_line_and_cut(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    violations = [{"rule": "laps-missing", "message": f"Race {number} has none"} for number in range(12)]
    install(raising(PipelineError(Kind.LAPS_MISSING, "No laps.", violations=violations, pending=["0002"])))
    assert frame.run(["act"]) == 5
    text = capsys.readouterr().err
    assert "    - Race 9 has none\n    … and 2 more\n" in text
    assert "Race 10" not in text
    assert "  pending:\n    - 0002\n" in text
    assert "{" not in text


# ---------------------------------------------------------------- output


def test_config_show_names_every_setting_and_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('contact = "ops@example.org"\n')
    monkeypatch.setenv("MRE_SITE", "http://127.0.0.1:8080")
    assert frame.run(["config", "show", "--json", "--db", "postgresql://me:s3cret@h/mre"]) == 0
    out = capsys.readouterr().out
    assert "s3cret" not in out
    shown = json.loads(out)["settings"]
    assert shown["db"]["source"] == "--db"
    assert shown["site"] == {"value": "http://127.0.0.1:8080", "source": "MRE_SITE"}
    assert shown["contact"] == {"value": "ops@example.org", "source": str(tmp_path / "config.toml")}
    assert shown["crawl_delay"] == {"value": 1.0, "source": "default"}
    assert frame.run(["config", "show", "--db", "postgresql://me:s3cret@h/mre"]) == 0
    text = capsys.readouterr().out
    assert "s3cret" not in text
    assert "MRE_SITE" in text


def test_a_table_is_aligned_by_what_a_terminal_shows() -> None:
    rows: Sequence[Sequence[object]] = [("山田", 1, None), ("Zoë\x1b[2J\n", 20, "x")]
    assert table(rows, ("name", "laps", "note")).splitlines() == [
        "name      laps  note",
        "--------  ----  ----",
        "山田         1  -",
        "Zoë [2J     20  x",
    ]


def test_json_numbers_keep_their_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"consistency": Decimal("96.120")})
    assert capsys.readouterr().out == '{"consistency":96.120}\n'


def test_the_progress_line_is_for_terminals_only() -> None:
    pipe = io.StringIO()
    with Progress(pipe) as progress:
        progress.show("fetch", 1, 3)
    assert pipe.getvalue() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
def test_the_progress_line_fits_the_terminal_and_leaves_it_clean() -> None:
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8") as terminal, Progress(terminal) as progress:
        progress.show("fetch", 12, 33, "a note\nthat is far too long for a line")
        drawn = os.read(leader, 1000).decode()
        progress.clear()
        cleared = os.read(leader, 1000).decode()
    os.close(leader)
    line = drawn.removeprefix("\r\x1b[K")
    assert line.startswith("fetch         12/33 ████████░")
    assert len(line) == 39
    assert cleared == "\r\x1b[K"
