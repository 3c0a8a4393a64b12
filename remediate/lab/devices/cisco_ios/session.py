"""One session on one VTY: modes, prompts, and how answers and errors are printed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from remediate.lab.devices.cisco_ios import shows
from remediate.lab.devices.cisco_ios.config import Config
from remediate.lab.devices.cisco_ios.configure import GLOBAL, GRAMMARS, OUTSIDE, Mode, Question, carry_out
from remediate.lab.devices.cisco_ios.grammar import (
    PRIVILEGED,
    USER,
    Ambiguous,
    Grammar,
    Incomplete,
    Invalid,
    Rejected,
    choose,
    misfit,
    tokens,
)
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.cisco_ios.translations import Translations
from remediate.lab.devices.ssh import Break, Peer, Terminal

EXEC = Grammar()
#: IOS cuts the host name in the prompts of the configuration modes.
PROMPT_NAME = 20


class Session:
    lenient = False

    def __init__(self, router: Router, terminal: Terminal, peer: Peer, vty: int) -> None:
        self.router = router
        self.terminal = terminal
        self.peer = peer
        self.vty = vty
        user = router.running.users.get(peer.user)
        self.level = user.privilege if user else USER
        self.knows_forced = not router.misbehaviour.no_forced
        self.mode: Mode = OUTSIDE
        self.over = False
        self.monitor = False
        self.peers: Callable[[], list[Session]] = lambda: [self]

    @property
    def config(self) -> Config:
        return self.router.running

    @property
    def translations(self) -> Translations:
        return self.router.translations

    @property
    def line_name(self) -> str:
        return f"vty{self.vty} ({self.peer.address})"

    def prompt(self) -> str:
        name = self.config.hostname
        if self.mode is not OUTSIDE:
            return f"{name[:PROMPT_NAME]}{self.mode.prompt}#"
        return f"{name}{'#' if self.level >= PRIVILEGED else '>'}"

    def tell(self, text: str) -> None:
        """Something that nobody on this line asked for: it lands wherever the cursor is."""
        if not self.over:
            self.terminal.write(text)
            self.terminal.flush()

    async def run(self) -> None:
        """Until ``exit`` or until the client goes."""
        while not self.over:
            try:
                line, ended = await self.terminal.line(self.prompt())
                await self.execute(line)
                if ended:
                    self.leave()
            except Break:
                self.leave()

    def leave(self) -> None:
        """To the exec mode, whatever is being configured."""
        if self.mode is not OUTSIDE:
            self.mode = OUTSIDE
            self.router.log(f"%SYS-5-CONFIG_I: Configured from console by {self.peer.user} on {self.line_name}")

    async def execute(self, line: str) -> None:
        prompt = self.prompt()
        try:
            words = await (self._exec(line) if self.mode is OUTSIDE else self._configure(line))
        except Invalid as refused:
            words = f"{' ' * (len(prompt) + refused.offset)}^\n{refused.words}\n"
        except Ambiguous as refused:
            words = f'{refused.words} "{line.strip()}"'
        except Incomplete as refused:
            words = f"{refused.words}\n"
        except Rejected as refused:
            words = f"{refused.words}\n"
        if words:
            await self.terminal.page(words)

    # -- exec -----------------------------------------------------------------------------------------

    async def _exec(self, line: str) -> str:
        command, filters = _split(line)
        if not command.strip() or command.lstrip().startswith("!"):
            return ""
        words = tokens(command)
        if len(words) == 1 and not EXEC.knows(command, self.level):
            return self._translate(words[0].text)
        if len(words) == 1 and EXEC.fits(words[0], self.level) == "show":
            return '% Type "show ?" for a list of subcommands'
        answer = EXEC.match(command, self.level)(self)
        output = str((await answer if inspect.isawaitable(answer) else answer) or "")
        for how, pattern in filters:
            output = shows.filtered(output, how, pattern)
        return output

    def _translate(self, word: str) -> str:
        """A single unknown word is taken for a host to connect to."""
        domain = "...domain server (255.255.255.255)" if self.config.domain_lookup else ""
        return (
            f'Translating "{word}"{domain}\n\n% Bad IP address or host name\n'
            "% Unknown command or computer name, or unable to find computer address"
        )

    # -- configuration --------------------------------------------------------------------------------

    async def _configure(self, line: str) -> str:
        rejects = self.router.misbehaviour.rejects
        if rejects and rejects in line:
            raise Invalid(tokens(line)[0].start)
        words = tokens(line)
        if words and words[0].text.lower() == "do":
            if len(words) == 1:
                raise Incomplete
            start = words[1].start
            try:
                return await self._exec_as_privileged(line[start:])
            except Invalid as refused:
                raise Invalid(start + refused.offset) from None
        answer = carry_out(self, line)
        if isinstance(answer, Question):
            said, _ended = await self.terminal.line(answer.words)
            answer = answer.answered(said)
        if words and self.mode is not OUTSIDE:
            self.router.changed = (self.router.now(), self.peer.user)
            self.router.touched()
        return answer or ""

    async def _exec_as_privileged(self, line: str) -> str:
        mode, self.mode = self.mode, OUTSIDE
        try:
            return await self._exec(line)
        finally:
            if self.mode is OUTSIDE:
                self.mode = mode


def _split(line: str) -> tuple[str, list[tuple[str, str]]]:
    """A command and its output filters. Raises Invalid, Incomplete."""
    command, *pipes = re.split(r"(?:(?<=\s)|^)\|", line)
    if not pipes:
        return line, []
    filters: list[tuple[str, str]] = []
    offset = len(command) + 1
    for pipe in pipes:
        if filters:
            # | is part of the regular expression from here on
            filters[-1] = (filters[-1][0], f"{filters[-1][1]}|{pipe}".rstrip())
            continue
        words = tokens(pipe)
        if not words:
            raise Incomplete
        how = choose(words[0], ["append", "begin", "count", "exclude", "include", "section"])
        if how not in ("begin", "exclude", "include", "section"):
            fault = misfit(words[0], ["begin", "exclude", "include", "section"])
            raise Invalid(offset + fault.offset)
        if len(words) == 1:
            raise Incomplete
        filters.append((how, pipe[words[1].start :].rstrip()))
    return command, filters


def _end(on: Any) -> None:
    on.leave()


def _exit(on: Any) -> None:
    if on.mode.prompt == GLOBAL.prompt:
        on.leave()
    else:
        on.mode = GLOBAL


for _grammar in GRAMMARS.values():
    _grammar.add("end", _end)
    _grammar.add("exit", _exit)
