"""A PostgreSQL server of the tests' own: on a Unix socket in a folder of its own, and ended by whoever started it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

#: Debian keeps a version's programs where PATH does not lead.
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
#: initdb and postgres refuse to run as root.
USER = "postgres"
#: What an asynchronous commit has not flushed stays unflushed, so that a crash loses it; nothing else writes meanwhile.
SETTINGS = {
    "listen_addresses": "''",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
}


def needs_postgresql() -> None:
    """Skips in one line where there is none; where CI is set, that is a failure."""
    if (PROGRAMS / "postgres").exists():
        return
    text = f"no PostgreSQL here: {PROGRAMS} is missing (apt-get install postgresql)"
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


class Server:
    """One cluster. Every database of it is made for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._numbers = itertools.count(1)
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} " + " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "110", "-l", log, "-o", options, "start")

    def stop(self, mode: str) -> None:
        """``fast``: sessions are ended, what is in memory is written; ``immediate``: as in a crash (pg_ctl)."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "110", "-m", mode, "stop")

    @contextmanager
    def stopped(self, mode: str) -> Iterator[None]:
        self.stop(mode)
        try:
            yield
        finally:
            self.start()

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    def say(self, statement: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement.encode())

    def database(self, options: str = "") -> str:
        """The name of a new, empty one."""
        name = f"record_{next(self._numbers)}"
        self.say(f"CREATE DATABASE {name} {options}")
        return name

    @contextmanager
    def with_setting(self, name: str, value: str) -> Iterator[None]:
        """In the server's own configuration, as its administrator would; new sessions have it when this begins."""
        self._set(f"ALTER SYSTEM SET {name} = {value}", name, value)
        try:
            yield
        finally:
            self._set(f"ALTER SYSTEM RESET {name}", name, "on")

    def _set(self, statement: str, name: str, value: str) -> None:
        self.say(statement)
        self.say("SELECT pg_reload_conf()")
        # The server tells its sessions before it lets a new one in.
        while True:
            with self.connect() as connection:
                row = connection.execute(f"SHOW {name}".encode()).fetchone()
            if row == (value,):
                return

    def _run(self, program: str, *arguments: str | Path) -> None:
        as_user: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        command = [str(PROGRAMS / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **as_user,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"


@contextmanager
def server() -> Iterator[Server]:
    """Under /tmp: a socket's path has 107 bytes at most, and a folder of pytest's cannot be entered by that user."""
    needs_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="remediate-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        cluster = Server(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")
    finally:
        shutil.rmtree(folder)
