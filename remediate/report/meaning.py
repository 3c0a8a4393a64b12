"""What was seen, in plain words: what it means, and what to do about it. One table by rung for each side. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from remediate.model.observation import Counts, Observation, Rung, Tls
from remediate.model.verdict import Finding, Judgement, Outcome, Purpose


class Meaning(NamedTuple):
    """One line each, for somebody who is called at night."""

    means: str
    do: str


NOTHING = "nothing"
_CLOSE = "close the port in front of it: remediate plan"
_SWITCH_ON = "let the archive itself ask for a certificate or a password: remediate plan"

#: From outside, least first: the order is how bad it is.
OUTSIDE: Mapping[Rung, Meaning] = {
    Rung.FILTERED: Meaning("no answer comes back: nothing gets through", NOTHING),
    Rung.UNREACHABLE: Meaning("a device on the way answers that nobody gets there", NOTHING),
    Rung.CLOSED: Meaning("refused: nothing listens there, or a device refuses for it", NOTHING),
    Rung.INCONCLUSIVE: Meaning("nobody knows: it could not be asked", "find out why, and look again"),
    Rung.TLS_CERTIFICATE_WANTED: Meaning(
        "anybody reaches it; it wants a client certificate", "close the port, unless it is meant to be reached so"
    ),
    Rung.NOT_DICOM: Meaning("anybody reaches the port; it is not DICOM", "find out what listens there, and close it"),
    Rung.NOT_HTTP: Meaning("anybody reaches the port; it is not HTTP", "find out what listens there, and close it"),
    Rung.HTTP_ERROR: Meaning("anybody reaches the web server; it answers with an error", _CLOSE),
    Rung.HTTP_GUARDED: Meaning("anybody reaches the login, and may try passwords", _CLOSE),
    Rung.FTP_GUARDED: Meaning("anybody reaches the FTP login, and may try passwords", _CLOSE),
    Rung.TLS_ONLY: Meaning("anybody reaches it over TLS, without a certificate", _CLOSE),
    Rung.BUSY: Meaning("anybody reaches the archive; it was too busy just now", _CLOSE),
    Rung.REJECTED: Meaning(
        "anybody reaches the archive, and may try AE titles", f"{_CLOSE}; an AE title is no password"
    ),
    Rung.ABORTED: Meaning("anybody reaches the archive; it broke off", _CLOSE),
    Rung.NO_CONTEXT: Meaning("anybody may associate; no service was granted", _CLOSE),
    Rung.OPEN: Meaning("anybody reaches the service", _CLOSE),
    Rung.ASSOCIATED: Meaning("anybody may associate", _CLOSE),
    Rung.ECHO: Meaning("anybody may associate, and gets answers", _CLOSE),
    Rung.ABORTED_AFTER_FIND: Meaning("anybody may associate; a query was cut off", _CLOSE),
    Rung.QUERY_REFUSED: Meaning("anybody may associate; a query was refused", _CLOSE),
    Rung.HTTP_ANSWERED: Meaning("anybody gets the archive's web pages without a login", _CLOSE),
    Rung.QUERY_ANSWERED: Meaning("anybody may query: take patients' data for readable", _CLOSE),
    Rung.DATA_RETURNED: Meaning(
        "strangers are given patients' data", "save the archive's and firewall's logs, close the port now, report it"
    ),
}

_WRONG_SERVICE = Meaning("something else answers on this port", "compare the port with the archive's own settings")
_NOT_SERVED = "the archive answers, but does not serve this role"
_ALLOW = "allow the role for this AE title on the archive"

#: From a peer's place, where it is not as it must be; least served first.
CARE_PATH: Mapping[Rung, Meaning] = {
    Rung.FILTERED: Meaning("the peer gets no answer", "look for a rule on the way that drops the peer's address"),
    Rung.UNREACHABLE: Meaning(
        "the peer is told that nobody gets there", "look for a rule or a route on the way that is not the peer's"
    ),
    Rung.CLOSED: Meaning("the peer is refused", "is the archive running? then look for a device that refuses"),
    Rung.INCONCLUSIVE: Meaning("nobody knows: it could not be asked", "find out why, and look again"),
    Rung.NOT_DICOM: _WRONG_SERVICE,
    Rung.NOT_HTTP: _WRONG_SERVICE,
    Rung.TLS_ONLY: Meaning("only TLS answers here", "give the peer TLS, or correct the service in the inventory"),
    Rung.TLS_CERTIFICATE_WANTED: Meaning(
        "the archive wants the peer's client certificate", "set client_certificate on the vantage in its place"
    ),
    Rung.BUSY: Meaning("the archive has no association left", "look again in two minutes; then raise its limit"),
    Rung.REJECTED: Meaning("the archive rejects the peer", "enter the peer's AE title and address on the archive"),
    Rung.ABORTED: Meaning("the archive breaks the association off", "read the archive's log for this peer"),
    Rung.OPEN: Meaning("the port answers, the service does not", "read the service's log"),
    Rung.NO_CONTEXT: Meaning(_NOT_SERVED, _ALLOW),
    Rung.ASSOCIATED: Meaning(_NOT_SERVED, _ALLOW),
    Rung.ECHO: Meaning(_NOT_SERVED, _ALLOW),
    Rung.ABORTED_AFTER_FIND: Meaning(_NOT_SERVED, _ALLOW),
    Rung.QUERY_REFUSED: Meaning(_NOT_SERVED, _ALLOW),
    Rung.QUERY_ANSWERED: Meaning(_NOT_SERVED, _ALLOW),
    Rung.DATA_RETURNED: Meaning(_NOT_SERVED, _ALLOW),
    Rung.HTTP_ERROR: Meaning("the web server answers with an error", "read the web server's log"),
    Rung.HTTP_GUARDED: Meaning("the web server refuses access", "read the web server's log for this peer"),
    Rung.FTP_GUARDED: Meaning("the FTP server wants a user and a password", "give the peer a user there"),
    Rung.HTTP_ANSWERED: Meaning(
        "the web server answers something else", "compare the port with the archive's settings"
    ),
}

_OUTSIDE_RANK = {rung: rank for rank, rung in enumerate(OUTSIDE)}
_CARE_RANK = {rung: -rank for rank, rung in enumerate(CARE_PATH)}
_OUTCOME_RANK = {Outcome.MET: 0, Outcome.UNKNOWN: 1, Outcome.UNMET: 2}


def of(finding: Finding) -> Meaning:
    """What one finding means for whoever is responsible for it."""
    rung = finding.observation.rung if finding.observation else Rung.INCONCLUSIVE
    if finding.outcome is Outcome.UNKNOWN:
        return Meaning(f"nobody knows: {finding.why or 'it could not be asked'}", "mend that, and look again")
    if finding.expectation.purpose.forbids:
        if finding.outcome is Outcome.UNMET:
            inside = finding.expectation.purpose is Purpose.STRANGERS_REFUSED
            return Meaning(OUTSIDE[rung].means, _SWITCH_ON) if inside else OUTSIDE[rung]
        if rung.reachable:
            return Meaning(OUTSIDE[rung].means, "nothing: the playbook leaves this open")
        icmp = finding.observation.icmp if finding.observation else None
        means = OUTSIDE[rung].means if icmp is None else f"a device on the way answers: {icmp}"
        return Meaning(f"{means} (not attributed to a device)" if finding.attributed is False else means, NOTHING)
    if finding.outcome is Outcome.MET:
        return Meaning("served" if finding.expectation.peer else "reachable from inside", NOTHING)
    if rung in finding.expectation.rungs:  # it is a presentation context that is missing
        return Meaning(finding.why, _ALLOW)
    return CARE_PATH[rung]


def worst(findings: Iterable[Finding]) -> Finding:
    """What weighs most: not as it must be before unknown before as it must be; then by rung. Not of nothing."""
    return max(findings, key=_weight)


def _weight(finding: Finding) -> tuple[int, int]:
    rung = finding.observation.rung if finding.observation else Rung.INCONCLUSIVE
    rank = _OUTSIDE_RANK if finding.expectation.purpose.forbids else _CARE_RANK
    return _OUTCOME_RANK[finding.outcome], rank[rung]


def observations(judgements: Iterable[Judgement]) -> Iterator[Observation]:
    """Each once, in the order of the findings."""
    seen: dict[int, Observation] = {}
    for judgement in judgements:
        for finding in judgement.findings:
            if finding.observation is not None:
                seen.setdefault(id(finding.observation), finding.observation)
    yield from seen.values()


def besides(seen: Observation) -> list[str]:
    """What else was seen there: surfaces, accepted contexts, TLS, counts, stack. Nothing that the peer wrote."""
    said = [surface.value for surface in sorted(seen.surfaces)]
    if seen.negotiated:
        said.append(f"accepts {', '.join(sorted(seen.negotiated))} (negotiated, not tried)")
    if seen.tls is not None:
        said.append(f"{seen.tls.version} {seen.tls.cipher}")
        said += tls_faults(seen.tls, seen.asked_at)
    if seen.counts is not None:
        said += _counts(seen.counts)
    if seen.stack is not None:
        said.append(f"stack {seen.stack.name}, product {seen.stack.product} (known from {seen.stack.source})")
    return said


def tls_faults(tls: Tls, at: datetime) -> list[str]:
    """What somebody has to mend: a certificate out of its dates, and what BCP 195 does not allow."""
    said = []
    if tls.not_after is not None and tls.not_after < at:
        said.append(f"certificate expired on {tls.not_after:%Y-%m-%d}")
    if tls.not_before is not None and tls.not_before > at:
        said.append(f"certificate not valid before {tls.not_before:%Y-%m-%d}")
    return said + [f"BCP 195: {fault}" for fault in tls.faults]


def _counts(counts: Counts) -> list[str]:
    held = [f"{number} {what}" for what, number in counts if number is not None]
    return [f"says that it holds {', '.join(held)}"] if held else []
