"""Another process on the same record; run as a program. Each line that it prints has happened before."""

from __future__ import annotations

import resource
import signal
import sys
import threading

import sqlalchemy as sa

from remediate.errors import Locked, RecordError
from remediate.record import Record, schema
from remediate.record.migrations import MIGRATIONS


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  # its standard output is how the test follows it


def append_until_killed(record: Record, change: str) -> None:
    """Four threads; each acknowledged entry is said once it is acknowledged."""
    journal = record.journal(change)
    saying = threading.Lock()

    def work(number: int) -> None:
        while True:
            entry = journal.append("step", {"thread": number, "text": "permit tcp host 192.0.2.7\n" * 20})
            with saying:
                say(entry.seq, entry.hash)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def append(record: Record, change: str, count: int) -> None:
    journal = record.journal(change)
    say("ready")
    sys.stdin.readline()
    for number in range(count):
        journal.append("step", {"number": number})


def hold(record: Record, change: str, names: list[str], device: str | None = None) -> None:
    say(*(lock.fence for lock in record.acquire(names, change, device=device)))
    sys.stdin.readline()
    record.release(change)


def compete(record: Record, change: str, names: list[str]) -> None:
    say("ready")
    sys.stdin.readline()
    try:
        record.acquire(names, change)
        say("got")
    except Locked:
        say("locked")
    sys.stdin.readline()


def fill(record: Record, change: str) -> None:
    """The disk is full for a while: an append fails in its caller, and later ones work again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal = record.journal(change)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        journal.append("full", {})
        say("written")
    except RecordError as error:
        say("refused", "next:" in str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    say(journal.append("again", {}).seq)


def migrate(place: str) -> None:
    """To the last step, and no further."""
    last = schema.VERSION - 1
    step = MIGRATIONS[last]

    def stop(connection: sa.Connection) -> None:
        step(connection)
        say("in the middle")
        sys.stdin.readline()

    MIGRATIONS[last] = stop
    Record.open(place)


def main() -> None:
    what, place, change, *rest = sys.argv[1:]
    if what == "migrate":
        migrate(place)
        return
    with Record.open(place) as record:
        match what:
            case "open":
                say("open")
            case "append-until-killed":
                append_until_killed(record, change)
            case "append":
                append(record, change, int(rest[0]))
            case "hold":
                hold(record, change, rest)
            case "hold-device":
                hold(record, change, rest[1:], device=rest[0])
            case "compete":
                compete(record, change, rest)
            case "fill":
                fill(record, change)
            case _:
                raise SystemExit(f"unknown: {what}")


if __name__ == "__main__":
    main()
