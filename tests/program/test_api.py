"""The HTTP API over a simulated site: what it answers, whom it lets in, and that its own description is true."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth

from mre_console.api.access import FILE_NAME, OPERATE, READ, RateLimit, TokenFile
from mre_console.api.app import BODY_BYTES, create_app
from mre_console.cli.main import run
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import FetchError, Kind, StateError
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient

SITE = World(5, tracks=1, events=2, mix=("small",), catalogue_rows=5)
EVENT_ID = SimulatedSite(SITE).events()[0][1]
EXAMPLES = 200 if os.environ.get("MRE_FAULTS", "") not in ("", "0") else 5
ROOMY = RateLimit(burst=1_000_000, per_second=1_000_000)


class Api:
    """The app on a loopback port, and somebody who asks it."""

    def __init__(self, service: Service, site: SimulatedSite, data: Path) -> None:
        self.service = service
        self.site = site
        self.slug, self.event_id = site.events()[0]
        self.tokens = TokenFile(data / FILE_NAME)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        app = create_app(service, self.tokens, rate=ROOMY, hosts=("127.0.0.1",))
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listening],), daemon=True)
        self._thread.start()
        self.ask = httpx.Client(base_url=self.url, timeout=30)

    def post(self, path: str, body: Any = None, **asked: Any) -> httpx.Response:
        return self.ask.post(path, json={} if body is None else body, **asked)

    def ingested(self) -> dict[str, Any]:
        answer = self.post(f"/events/{self.event_id}/ingest", {"track": self.slug, "wait": True})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def close(self) -> None:
        self.ask.close()
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(SITE)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def api(site: SimulatedSite, client: SiteClient, database_url: str, tmp_path: Path) -> Iterator[Api]:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path), client=client) as service:
        served = Api(service, site, tmp_path)
        yield served
        served.close()


def envelope(answer: httpx.Response, status: int, kind: Kind) -> dict[str, Any]:
    """The body of a refused request, which is an envelope whatever refused it."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"code", "stage", "message", "details"}
    assert body["details"]["kind"] == kind
    assert body["details"]["remedy"]
    return dict(body)


# ---------------------------------------------------------------- ingesting, and what is served


def test_an_event_is_ingested_and_exported(api: Api) -> None:
    report = api.ingested()
    assert report["outcome"] == "published"
    exported = api.ask.get(f"/events/{api.event_id}/export")
    assert exported.content == document.encode(api.site.document(api.event_id))
    event = api.ask.get(f"/events/{api.event_id}").json()
    assert (event["state"], event["current_run_id"], event["laps"]) == ("complete", report["run_id"], report["laps"])
    (listed,) = api.ask.get("/events", params={"state": "complete", "track": api.slug.upper()}).json()
    assert listed == event
    assert api.ask.get("/events", params={"offset": 1}).json() == []
    run = api.ask.get(f"/runs/{report['run_id']}").json()
    assert (run["outcome"], run["trigger"], run["error"]) == ("published", "api", None)
    lines = api.ask.get(f"/runs/{report['run_id']}/log").json()
    assert [lines[0]["name"], lines[-1]["name"]] == ["ingestion_start", "ingestion_finish"]


def test_without_waiting_the_run_is_answered_and_can_be_followed(api: Api, client: SiteClient) -> None:
    fetching, go_on = threading.Event(), threading.Event()

    def hold(url: str) -> None:
        if "view_race_result" in url:
            fetching.set()
            go_on.wait(30)

    client.before = hold
    begun = api.post(f"/events/{api.event_id}/ingest", {"track": api.slug})
    assert begun.status_code == 202
    run = begun.json()["run"]
    assert begun.headers["location"] == f"/runs/{run['id']}"
    assert fetching.wait(30)
    held = envelope(api.post(f"/events/{api.event_id}/ingest"), 409, Kind.LOCK_HELD)
    assert held["details"]["verdict"] == "ALIVE"
    (lock,) = api.ask.get("/locks").json()
    assert (lock["run_id"], lock["verdict"]) == (run["id"], "ALIVE")
    names = []
    with api.ask.stream("GET", f"/runs/{run['id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
                go_on.set()  # the first events come while it is under way
    assert names[0] == "log"
    assert "progress" in names
    assert names[-1] == "end"
    resumed = api.ask.get(f"/runs/{run['id']}/events", headers={"Last-Event-ID": "999999"}).text
    assert [line for line in resumed.splitlines() if line.startswith("event: ")] == ["event: end"]


def test_a_failed_run_answers_its_envelope(api: Api, client: SiteClient) -> None:
    def fail(url: str) -> None:
        if "view_race_result" in url:
            raise FetchError(Kind.SERVER_ERROR, "the site is ill", url=url, page_type="race_result")

    client.before = fail
    path = f"/events/{api.event_id}/ingest"
    failed = envelope(api.post(path, {"track": api.slug, "wait": True}), 502, Kind.SERVER_ERROR)
    event = api.ask.get(f"/events/{api.event_id}").json()
    assert event["failure"] == failed
    assert api.ask.get(f"/runs/{event['last_run_id']}").json()["error"] == failed
    (group,) = api.ask.get("/failures").json()
    assert (group["kind"], group["open_count"]) == ("SERVER_ERROR", 1)
    begun = api.post(f"/events/{api.event_id}/retry")
    assert begun.status_code == 202, begun.text
    client.before = None
    assert api.post(f"/events/{api.event_id}/retry", {"wait": True}).status_code in (200, 409)


# ---------------------------------------------------------------- acting


def test_a_reset_is_planned_done_and_undone(api: Api) -> None:
    api.ingested()
    before = api.ask.get(f"/events/{api.event_id}/export").content
    planned = api.post(f"/events/{api.event_id}/reset?plan=true").json()
    assert planned["kind"] == "reset"
    assert api.ask.get(f"/events/{api.event_id}/export").content == before
    done = api.post(f"/events/{api.event_id}/reset", {"reason": "wrong track"}).json()
    assert done["action"]["plan"] == planned
    assert (done["action"]["who"], done["action"]["reason"]) == ("api:loopback", "wrong track")
    envelope(api.ask.get(f"/events/{api.event_id}/export"), 404, Kind.NOTHING_TO_EXPORT)
    action = done["action"]["id"]
    assert api.post(f"/actions/{action}/undo?plan=true").json()["kind"] == "undo"
    assert api.post(f"/actions/{action}/undo").status_code == 200
    assert api.ask.get(f"/events/{api.event_id}/export").content == before
    envelope(api.post(f"/actions/{action}/undo"), 409, Kind.UNDO_REFUSED)
    assert len(api.ask.get("/actions", params={"event_id": api.event_id}).json()) == 2


def test_the_switch(api: Api) -> None:
    envelope(api.post("/control", {"mode": "disabled", "reason": " "}), 422, Kind.USAGE)
    assert api.post("/control", {"mode": "disabled", "reason": "a rest"}).json()["mode"] == "disabled"
    envelope(api.post(f"/events/{api.event_id}/ingest", {"track": api.slug}), 423, Kind.DISABLED)
    assert api.ask.get("/health").json()["state"] == "disabled"
    envelope(api.post("/control", {"mode": "enabled", "reason": "rested"}), 409, Kind.CHECKS_FAILED)
    assert api.post("/checks").json()["passed"]
    assert api.post("/control", {"mode": "enabled", "reason": "rested"}).json()["mode"] == "enabled"
    assert api.ask.get("/checks").json()[0]["passed"]


def test_a_lock_is_cleared_only_as_it_was_seen(api: Api, client: SiteClient) -> None:
    fetching, go_on = threading.Event(), threading.Event()

    def hold(_url: str) -> None:
        fetching.set()
        go_on.wait(30)

    client.before = hold
    api.post(f"/events/{api.event_id}/ingest", {"track": api.slug})
    assert fetching.wait(30)
    path = f"/locks/{api.event_id}/clear"
    (lock,) = api.ask.get("/locks").json()
    envelope(api.post(path, {"reason": "hangs"}), 422, Kind.USAGE)  # it is alive: the event's name is needed
    name = lock["event_name"] or lock["event"]
    stale = {"reason": "hangs", "token": lock["token"] + 1, "confirm": name}
    envelope(api.post(path, stale), 409, Kind.LEASE_LOST)
    cleared = api.post(path, {**stale, "token": lock["token"]})
    assert cleared.json()["run_id"] == lock["run_id"]
    go_on.set()
    (warning,) = api.ask.get("/warnings").json()
    assert warning["name"] == "lock_cleared"
    envelope(api.post(path, stale), 404, Kind.UNKNOWN)


# ---------------------------------------------------------------- refusals


def test_what_is_refused_before_anything_is_asked(api: Api) -> None:
    ask = api.ask
    envelope(ask.get("/nothing/here"), 404, Kind.UNKNOWN)
    envelope(ask.get("/events/480130000"), 404, Kind.UNKNOWN_EVENT)
    envelope(ask.get("/runs/99"), 404, Kind.UNKNOWN)
    envelope(ask.get("/runs/99/events"), 404, Kind.UNKNOWN)
    envelope(ask.get("/actions/99"), 404, Kind.UNKNOWN)
    allowed = ask.delete("/events")
    envelope(allowed, 405, Kind.METHOD_NOT_ALLOWED)
    assert allowed.headers["allow"] == "GET"
    envelope(ask.get("/events", params={"limit": 501}), 422, Kind.USAGE)
    envelope(ask.get("/events/0"), 422, Kind.USAGE)
    path = f"/events/{api.event_id}/reset"
    envelope(ask.post(path, content=b'{"reason": '), 415, Kind.UNSUPPORTED_MEDIA)
    json_type = {"content-type": "application/json"}
    envelope(ask.post(path, content=b'{"reason": ', headers=json_type), 422, Kind.USAGE)
    envelope(ask.post(path, content=b"x" * (BODY_BYTES + 1), headers=json_type), 413, Kind.BODY_TOO_LARGE)

    def endless() -> Iterator[bytes]:
        for _ in range(BODY_BYTES // 1024 + 1):
            yield b"[" * 1024

    envelope(ask.post(path, content=endless(), headers=json_type), 413, Kind.BODY_TOO_LARGE)
    envelope(api.post(path, {"surprise": 1}), 422, Kind.USAGE)
    envelope(ask.get("/events", headers={"host": "evil.example"}), 403, Kind.FORBIDDEN)


def test_tokens_and_their_scopes(api: Api) -> None:
    looking, acting = api.tokens.add("grafana", READ), api.tokens.add("cron", OPERATE)
    unknown = api.ask.get("/events")
    envelope(unknown, 401, Kind.UNAUTHENTICATED)
    assert unknown.headers["www-authenticate"] == "Bearer"
    envelope(api.ask.get("/events", headers=bearer("mre_wrong")), 401, Kind.UNAUTHENTICATED)
    assert api.ask.get("/events", headers=bearer(looking)).status_code == 200
    for path in destructive(api):
        envelope(api.post(path), 401, Kind.UNAUTHENTICATED)
        envelope(api.post(path, headers=bearer(looking)), 403, Kind.FORBIDDEN)
    assert api.post("/checks", headers=bearer(acting)).status_code == 200
    assert api.ask.get("/health/live").status_code == 200  # who watches a program has no token
    envelope(api.ask.get("/health"), 401, Kind.UNAUTHENTICATED)
    envelope(api.ask.get("/metrics"), 401, Kind.UNAUTHENTICATED)
    api.tokens.revoke("cron")
    envelope(api.post("/checks", headers=bearer(acting)), 401, Kind.UNAUTHENTICATED)
    kept = (api.service.settings.data / FILE_NAME).read_text()
    assert looking not in kept
    assert (api.service.settings.data / FILE_NAME).stat().st_mode & 0o777 == 0o600


def destructive(api: Api) -> list[str]:
    """Every POST of the description, for the event and some numbers."""
    paths = api.ask.get("/openapi.json").json()["paths"] if not api.tokens.tokens() else _paths(api)
    return [
        path.replace("{event_id}", api.event_id).replace("{action_id}", "1")
        for path, methods in paths.items()
        if "post" in methods
    ]


def _paths(api: Api) -> dict[str, Any]:
    secret = api.tokens.add("paths", READ)
    paths = api.ask.get("/openapi.json", headers=bearer(secret)).json()["paths"]
    api.tokens.revoke("paths")
    return dict(paths)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_everything_that_acts_needs_the_scope() -> None:
    """Not only what the test above happens to call."""
    from mre_console.api import door, events, looking, recovery

    routes = [
        route for part in (looking, events, recovery) for route in part.router.routes if isinstance(route, APIRoute)
    ]
    for route in routes:
        asked_for = {dependency.call for dependency in route.dependant.dependencies}
        open_to_all = route.path in ("/health/live", "/health/ready")
        assert (door.operator in asked_for) is ("POST" in (route.methods or ())), route.path
        assert ({door.reader, door.operator} & asked_for != set()) is not open_to_all, route.path
    assert sum("POST" in (route.methods or ()) for route in routes) >= 8


def test_one_caller_can_not_take_it_all() -> None:
    now = [0.0]
    rate = RateLimit(burst=2, per_second=1.0, clock=lambda: now[0])
    rate.take("a")
    rate.take("a")
    with pytest.raises(StateError) as refused:
        rate.take("a")
    assert (refused.value.kind, refused.value.rule.http_status) == (Kind.TOO_MANY_REQUESTS, 429)
    rate.take("b")
    now[0] = 1.0
    rate.take("a")


def test_only_so_much_is_under_way_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "running_here", lambda _service: 8)
    refused = api.post(f"/events/{api.event_id}/ingest", {"track": api.slug})
    envelope(refused, 429, Kind.TOO_MANY_REQUESTS)
    assert refused.headers["retry-after"] == "10"


def test_other_machines_are_let_in_only_with_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2
    assert "mre tokens add" in capsys.readouterr().err
    assert run(["tokens", "add", "cron", "--scope", "operate", "--data", str(tmp_path), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert TokenFile(tmp_path / FILE_NAME).caller(made["token"]) is not None
    assert run(["tokens", "list", "--data", str(tmp_path), "--json"]) == 0
    assert made["token"] not in capsys.readouterr().out
    assert run(["tokens", "revoke", "cron", "--data", str(tmp_path)]) == 0
    assert run(["tokens", "revoke", "cron", "--data", str(tmp_path)]) == 2


def test_a_damaged_token_file_lets_nobody_in(api: Api) -> None:
    (api.service.settings.data / FILE_NAME).write_text("[{")
    envelope(api.ask.get("/events"), 422, Kind.USAGE)


# ---------------------------------------------------------------- the description


@pytest.fixture
def served(site: SimulatedSite, sqlite_files: Any, tmp_path: Path) -> Iterator[Api]:
    settings_ = ServiceSettings(db_url=sqlite_files.url(), data=tmp_path)
    with Service(settings_, client=SiteClient(site)) as service:
        api = Api(service, site, tmp_path)
        api.ingested()
        yield api
        api.close()


@pytest.fixture
def secret(served: Api) -> str:
    return served.tokens.add("everything", OPERATE)


@pytest.fixture
def described(served: Api, secret: str) -> Any:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=bearer(secret))
    schema.config.update(headers=bearer(secret))
    # The switch may be off by then: an earlier request was allowed to turn it.
    schema.config.checks.positive_data_acceptance.expected_statuses += ["423"]
    return schema


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_the_description_is_true(case: Any) -> None:
    """Whatever is sent, the answer is one that the document describes, and never a fault."""
    if case.path.endswith(("/ingest", "/retry")) and "event_id" in (case.path_parameters or {}):
        case.path_parameters["event_id"] = EVENT_ID  # of others the site has no valid pages
    if case.path.endswith("/events") and "run_id" in (case.path_parameters or {}):
        case.path_parameters["run_id"] = 1  # a run that ended: others are followed for as long as they go on
    # Where an operation has headers of its own, that check keeps the token it means to take away.
    case.call_and_validate(excluded_checks=[ignored_auth] if case.operation.headers else [])
