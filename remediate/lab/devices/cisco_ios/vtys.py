"""The VTYs: who may come in, and the sessions that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios import execute, nat_exec  # noqa: F401 - they add the commands of the exec mode
from remediate.lab.devices.cisco_ios.acl import TCP, Packet
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.cisco_ios.secrets import fits
from remediate.lab.devices.cisco_ios.session import Habits, Session
from remediate.lab.devices.ssh import Peer, Terminal


class Vtys:
    """The router as the SSH server sees it."""

    def __init__(self, router: Router, habits: Habits = Habits()) -> None:  # noqa: B008 -- it is frozen
        self.router = router
        self.habits = habits
        self.sessions: dict[int, Session] = {}
        self._tasks: dict[int, asyncio.Task[None] | None] = {}
        #: Whether new sessions, and only these, are cut off.
        self.fails: Callable[[], bool] = lambda: False
        router.on_log.append(self._log)
        router.on_reload.append(self._end_all)

    def _free(self, address: str) -> int | None:
        """The first free line whose access-class lets ``address`` in."""
        for (kind, number), settings in sorted(self.router.running.lines.items()):
            if kind != "vty" or number in self.sessions or settings.get("transport input") == "transport input none":
                continue
            words = settings.get("access-class in", "").split()
            acl = self.router.running.lists.get(words[1]) if words else None
            if acl is None:
                return number
            permitted, line = acl.judge(Packet(TCP, int(IPv4Address(address)), 0, 0, 22))
            if line:
                line.hits += 1
            if permitted:
                return number
        return None

    def admits(self, address: str) -> bool:
        return not self.fails() and self._free(address) is not None

    def knows(self, user: str, password: str) -> bool:
        known = self.router.running.users.get(user)
        return known is not None and fits(known.secret, password)

    async def serve(self, terminal: Terminal, peer: Peer, command: str | None) -> None:
        number = self._free(peer.address)
        if number is None:
            return
        session = Session(self.router, terminal, peer, number, self.habits)
        session.peers = lambda: [self.sessions[key] for key in sorted(self.sessions)]
        self.sessions[number] = session
        self._tasks[number] = asyncio.current_task()
        settings = self.router.running.lines[("vty", number)]
        terminal.length = int(settings.get("length", "length 24").split()[1])
        try:
            if command is not None:
                terminal.length = 0
                await session.execute(command)
                return
            terminal.write(self._banners())
            await session.run()
        finally:
            session.over = True
            session.leave()
            del self.sessions[number], self._tasks[number]

    def _banners(self) -> str:
        """Of the day, and of the exec mode; what stands between the two delimiters."""
        texts = [
            "\n".join(line.removesuffix("^C") for line in one.body)
            for kind in ("motd", "exec")
            for one in self.router.running.other
            if one.line.startswith(f"banner {kind} ")
        ]
        return "".join(f"{text}\n" for text in ("", *texts))

    def _log(self, line: str) -> None:
        for session in self.sessions.values():
            if session.monitor:
                session.tell(f"{line}\n")

    async def close(self) -> None:
        """Ends every session, and waits until its client has been told."""
        tasks = [task for task in self._tasks.values() if task is not None]
        self._end_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end_all(self) -> None:
        for number, session in self.sessions.items():
            session.over = True
            task = self._tasks[number]
            if task is not None and task is not asyncio.current_task():
                task.cancel()
