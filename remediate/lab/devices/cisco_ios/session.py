"""One session on one VTY: modes, prompts, and how answers and errors are printed."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
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
_DENIED = "Command authorization failed.\n"
#: IOS cuts the host name in the prompts of the configuration modes.
PROMPT_NAME = 20


#: A prompt of one's own: `%h` the host name, `%p` its usual end, `%n` the line, `%s` a space, `%%` a percent sign.
_OWN_PROMPT = re.compile(r"%(.)")


@dataclass(frozen=True)
class Habits:
    """Of every line: ``refused``, commands that a server of authorizations does not allow, by how they begin;
    ``hidden``, those that the parser view has not; ``seconds_a_line``: that each typed line takes.
    """

    refused: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    seconds_a_line: float = 0.0


class Session:
    lenient = False

    def __init__(self, router: Router, terminal: Terminal, peer: Peer, vty: int, habits: Habits) -> None:
        self.router = router
        self.habits = habits
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
            shown = not self.config.keeps("no service prompt config")
            return f"{name[:PROMPT_NAME]}{self.mode.prompt}#" if shown else ""
        end = "#" if self.level >= PRIVILEGED else ">"
        own = next((one.line for one in self.config.other if one.line.startswith("prompt ")), None)
        if own is None:
            return f"{name}{end}"
        words = {"h": name, "p": end, "n": str(self.vty), "s": " ", "%": "%"}
        return _OWN_PROMPT.sub(lambda found: words.get(found[1], ""), own.removeprefix("prompt "))

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
                if self.habits.seconds_a_line:
                    self.terminal.flush()
                    await asyncio.sleep(self.habits.seconds_a_line)
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
        self._check_shown(command)
        carried_out = EXEC.match(command, self.level)
        if self._refuses(command):  # a server is asked for what is understood only
            return _DENIED
        answer = carried_out(self)
        output = str((await answer if inspect.isawaitable(answer) else answer) or "")
        for how, pattern in filters:
            output = shows.filtered(output, how, pattern)
        return output

    def _refuses(self, command: str) -> bool:
        return " ".join(command.split()).startswith(self.habits.refused) if self.habits.refused else False

    def _check_shown(self, command: str) -> None:
        """Raises Invalid where the last word of what is hidden stands."""
        words = tokens(command)
        for hidden in self.habits.hidden:
            count = len(hidden.split())
            if [word.text for word in words[:count]] == hidden.split():
                raise Invalid(words[count - 1].start)

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
        if self._refuses(line):
            return _DENIED
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
