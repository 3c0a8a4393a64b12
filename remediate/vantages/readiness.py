"""When sockets are ready: one epoll of our own on each loop, which asyncio watches like any other descriptor.

asyncio pays for each event of each socket with objects and system calls of its own, several times a connection; a sweep
makes a million of them. Here a socket is added once, and its own callback runs at once.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from weakref import WeakKeyDictionary

#: Told once for each change of state (EPOLLET): whoever is told reads until there is no more.
CONNECTING = select.EPOLLOUT | select.EPOLLET
READING = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
WRITING = READING | select.EPOLLOUT
#: Nothing more than what can still be read will come.
ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

#: Takes the events, and raises nothing.
Told = Callable[[int], None]


class Readiness:
    """``told`` by descriptor; one that is closed is to be left out first."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._told: dict[int, Told] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Readiness:
        """The loop's own; it ends with it."""
        one = _OF_LOOP.get(loop)
        if one is None:
            one = _OF_LOOP[loop] = cls()
            loop.add_reader(one._epoll.fileno(), one._look)
        return one

    def watch(self, descriptor: int, events: int, told: Told) -> None:
        """In place of what was watched of it before. What is so already is told, too."""
        if descriptor in self._told:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._told[descriptor] = told

    def leave(self, descriptor: int) -> None:
        """Before it is closed, which takes it out of the epoll itself."""
        self._told.pop(descriptor, None)

    def _look(self) -> None:
        told = self._told
        for descriptor, events in self._epoll.poll(0, max(len(told), 1)):  # all of them: what is late comes after
            if (one := told.get(descriptor)) is not None:  # one of those before it may have closed it
                one(events)


_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, Readiness] = WeakKeyDictionary()
