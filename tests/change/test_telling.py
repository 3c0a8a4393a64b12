"""Who is told that a change begins and how it ended: by the real Apprise, to a web server on loopback."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apprise
import pytest

from remediate.change import change, looking, telling
from remediate.change.telling import Telling
from remediate.model.change import Entry, Plan, State, Wave
from remediate.record import Record
from tests.change.fleet import fleet
from tests.quiet import Quiet

SECRET = "Tr0ub4dor"


class Told(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Service:
    """``status``: of its answers. ``hangs``: it takes the request and answers only once it is let go."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.hangs = False
        self.let_go = threading.Event()
        self.url = ""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if made.hangs:
                made.let_go.wait(60)
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"json://me:{SECRET}@127.0.0.1:{server.server_address[1]}/hook"
    monkeypatch.setenv("OPS_CHANNEL", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        made.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def plan(*references: str) -> Plan:
    wave = Wave(number=1, play="Close", pacs=("archive-a",), vantages=(), revert_in=timedelta(minutes=1))
    return Plan(tool="0", playbook="/p", inventory="/i", inputs={}, waves=(wave,), notify=references)


def told(folder: Path, references: tuple[str, ...], watch: Told) -> list[Entry]:
    """The entries of a beginning and an end."""
    with Record.open(folder / "r.db") as record:
        journal = record.begin("c-1", data={})
        made = Telling(plan(*references), journal, watch)
        made.begins()
        made.ends([State.CONFIRMED, State.NEEDS_HANDS], 5)
        assert record.verify() == []
        text = json.dumps([entry.data for entry in journal])
        assert SECRET not in text and SECRET not in "".join(watch.notes)
        return [entry for entry in journal if entry.kind == "notified"]


def test_a_change_tells_that_it_begins_and_how_it_ends(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    with fleet(tmp_path / "fleet", (None,)) as site:
        loaded, made = site.planned("  notify: env:OPS_CHANNEL\n")
        assert made.notify == ("env:OPS_CHANNEL",) and SECRET not in made.model_dump_json()
        with Record.open(tmp_path / "r.db") as record, change.desk(loaded, record, Told()) as desk:
            done = change.run(made, desk)
            found = list(record.journal(done.change))
            assert record.verify() == []
    assert [message["title"] for message in service.messages] == [
        f"change {done.change} on archive-a begins",
        f"change {done.change} on archive-a is confirmed (exit status 0)",
    ]
    kinds = [entry.kind for entry in found]
    assert kinds[1] == "notified" and kinds[-2:] == ["notified", "ended"]
    assert found[1].data == {"event": "begins", "told": ["env:OPS_CHANNEL"], "not_told": {}}
    text = json.dumps([entry.data for entry in found])
    assert SECRET not in text and "127.0.0.1" not in json.dumps(service.messages)


def test_what_weighs_most_is_told(tmp_path: Path, service: Service) -> None:
    told(tmp_path, ("env:OPS_CHANNEL",), Told())
    assert service.messages[-1]["title"] == "change c-1 on archive-a NEEDS HANDS (exit status 5)"
    assert "remediate record show c-1" in service.messages[-1]["message"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "the environment variable OPS is not set, or empty"),
        (f"nothing://{SECRET}", "what it refers to is no URL that Apprise knows"),
        (f"json://me:{SECRET}@127.0.0.1:9/", "the service did not take it"),
    ],
)
def test_who_cannot_be_told_is_said_once(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch, url: str | None, expected: str
) -> None:
    monkeypatch.delenv("OPS", raising=False)
    if url is not None:
        monkeypatch.setenv("OPS", url)
    watch = Told()
    found = told(tmp_path, ("env:OPS", "env:OPS_CHANNEL"), watch)
    assert watch.notes == [f"notify env:OPS: could not be told: {expected}"]
    assert [entry.data["not_told"] for entry in found] == [{"env:OPS": expected}] * 2
    assert [entry.data["told"] for entry in found] == [["env:OPS_CHANNEL"]] * 2
    assert len(service.messages) == 2, "the others are told all the same"


def test_a_service_that_says_no(tmp_path: Path, service: Service) -> None:
    service.status = 500
    found = told(tmp_path, ("env:OPS_CHANNEL",), Told())
    assert found[0].data["not_told"] == {"env:OPS_CHANNEL": "the service did not take it"}


def test_a_service_that_hangs(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.hangs = True
    monkeypatch.setattr(telling, "DEADLINE", 0.5)
    found = told(tmp_path, ("env:OPS_CHANNEL",), Told())
    assert found[0].data["not_told"] == {"env:OPS_CHANNEL": "no answer within 0.5 s"}


def test_a_plugin_that_breaks(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> bool:
        raise KeyError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "add", broken)
    found = told(tmp_path, ("env:OPS_CHANNEL",), Told())
    assert found[0].data["not_told"] == {"env:OPS_CHANNEL": "Apprise failed (KeyError)"}


def test_without_the_extra(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)  # as if it were not there
    watch = Told()
    told(tmp_path, ("env:OPS_CHANNEL",), watch)
    assert watch.notes[0].endswith("it needs Apprise, which is not installed; pip install 'remediate[notify]'")


def test_nobody_to_tell_leaves_no_entry(tmp_path: Path) -> None:
    assert told(tmp_path, (), Told()) == []
