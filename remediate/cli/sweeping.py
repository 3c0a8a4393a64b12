"""``remediate verify --targets``: a sweep over a list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.text import Text

from remediate.cli import common
from remediate.errors import UsageError

if TYPE_CHECKING:
    from remediate.change.sweep import Answer, Tally
    from remediate.model.site import Canary, IPAddress, Limits, Scope
    from remediate.report.lines import Lines
    from remediate.runner import Cancellation


class UpTo(StrEnum):
    """How far a DICOM service is asked."""

    ASSOCIATED = "associated"
    ECHO = "echo"
    QUERY = "query"


Targets = Annotated[
    Path | None,
    typer.Option(
        "--targets", metavar="FILE", help="Sweep this list (.jsonl or .csv) from this machine, and no inventory."
    ),
]
Rung = Annotated[UpTo, typer.Option("--rung", help="With --targets: how far DICOM is asked.")]
Scope_ = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", metavar="CIDR", help="With --targets: a network that you may ask; without: the inventory's."
    ),
]
Source = Annotated[str | None, typer.Option("--source", help="With --targets: this machine's address to ask from.")]
Canaries = Annotated[
    list[str] | None,
    typer.Option(
        "--canary", metavar="ADDRESS:PORT", help="With --targets: must answer, or a silent port proves nothing."
    ),
]
Deadline = Annotated[
    float,
    typer.Option("--deadline", min=0.1, max=60, help="With --targets: seconds to connect, and once more to answer."),
]


class Options(NamedTuple):
    targets: Path
    inventory: Path
    up_to: UpTo
    scope: Sequence[str]
    source: str | None
    canaries: Sequence[str]
    deadline: float


class _Output:
    def __init__(self) -> None:
        from remediate.report import lines

        self._as = lines

    def line(self, answer: Answer) -> str:
        return self._as.line(*answer)

    def lines(self, write: Callable[[bytes], object]) -> Lines:
        return self._as.Lines(write)


def sweep(options: Options, *, lines: bool) -> None:
    """Prints it, and ends with its exit status. ``lines``: one for each answer; otherwise a table of counts."""
    from remediate.change import listing
    from remediate.inventory.kept import Kept

    source = None if options.source is None else _address(options.source, "--source")
    scope, limits = _scope(options)
    refused = listing.refusing(scope, source)
    with Kept() as kept, listing.checking(options.targets, refused, kept) as checked:
        # Meanwhile: this takes about as long as the check of 16,000 lines.
        from remediate import probes
        from remediate.change import sharing
        from remediate.change import sweep as sweeping
        from remediate.model.observation import Rung
        from remediate.report.busy import Busy

        probes.prepare()
        here = sweeping.vantage(source, [_canary(text) for text in options.canaries])
        up_to = {UpTo.ASSOCIATED: Rung.ASSOCIATED, UpTo.ECHO: Rung.ECHO, UpTo.QUERY: None}[options.up_to]
        tally = sweeping.Tally(*checked())
        common.err().print(Text(_notice(tally, options, source), style="dim"))

        @contextmanager
        def guarded(cancellation: Cancellation) -> Iterator[None]:
            with Busy(common.err()) as busy, common.interruptible(cancellation):
                busy.now("asking")
                busy.following(lambda: _progress(tally))
                yield

        sharing.run(
            sweeping.Sweep(kept, here, scope, limits, up_to, options.deadline),
            _Output(),
            sys.stdout.fileno() if lines else None,
            tally,
            guarded,
        )
    if not lines:
        from remediate.report.tables import counts

        common.show(counts(tally.rungs), None, common.Format.TABLE)
    common.err().print(Text(_summary(tally)))
    raise typer.Exit(tally.exit_status)


def _progress(tally: Tally) -> str:
    from remediate.model.verdict import Outcome

    asked = tally.rungs.total()
    rate = asked / tally.seconds if tally.seconds else 0.0
    return f"{asked} of {tally.targets} targets, {rate:.0f}/s, {tally.outcomes[Outcome.UNMET]} reachable"


def _notice(tally: Tally, options: Options, source: IPAddress | None) -> str:
    from remediate.policy import PROBE_AE_TITLE

    repeated = f" ({tally.repeated} lines ask for one again)" if tally.repeated else ""
    return (
        f"asking {tally.targets} targets of {options.targets}{repeated} from {source or 'this machine'}, "
        f"as {PROBE_AE_TITLE}, up to {options.up_to}"
    )


def _summary(tally: Tally) -> str:
    from remediate.model.verdict import Outcome

    rate = tally.rungs.total() / tally.seconds if tally.seconds else 0.0
    parts = [
        (
            f"{tally.targets} targets: {tally.rungs.total()} asked in {tally.seconds:.1f} s ({rate:.0f}/s), "
            f"{tally.could_not_be_asked} of them could not be asked, {tally.not_asked} not reached"
        ),
        (
            f"{tally.outcomes[Outcome.UNMET]} reachable, {tally.outcomes[Outcome.MET]} not, "
            f"{tally.outcomes[Outcome.UNKNOWN]} unknown"
        ),
    ]
    if tally.blind:
        parts.append(f"what is not reachable proves nothing: {tally.blind}; name one with --canary")
    if tally.stopped:
        parts.append(f"stopped: {tally.why_stopped}")
    return "\n".join(parts)


def _scope(options: Options) -> tuple[Scope, Limits]:
    from remediate.model.site import Authorisation, Limits, Scope

    if options.scope:
        networks = []
        for text in options.scope:
            try:
                network = ip_network(text)
            except ValueError as error:
                raise UsageError(f"--scope {text} is no network", next="for example --scope 10.20.0.0/16") from error
            if network.prefixlen < (8 if network.version == 4 else 32):
                raise UsageError(
                    f"--scope {text} is wider than anybody's leave",
                    next="name the networks that you may ask, each by itself",
                )
            networks.append(network)
        # Given on this command line, it counts for this command.
        authorised = tuple(Authorisation(network=one, reference="--scope", expires=date.max) for one in networks)
        return Scope(addresses=None, authorised=authorised), Limits()
    site = common.loaded(options.inventory).site
    if not site.authorised:
        raise UsageError(
            "nothing says which networks may be asked; nothing was sent",
            where=str(options.inventory),
            next="add data.scope to its defaults.yaml, or give --scope CIDR",
        )
    return Scope(addresses=None, authorised=site.authorised), site.limits


def _address(text: str, option: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is no IP address", next="names are not looked up") from error


def _canary(text: str) -> Canary:
    from remediate.model.site import Canary

    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"--canary {text} has no port", next="for example --canary 10.20.0.1:443, --canary [fd00::1]:443"
        )
    return Canary(address=_address(host.strip("[]"), "--canary"), port=int(port))
