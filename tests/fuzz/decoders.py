"""Coverage-guided fuzzing of what reads a peer's bytes: ``make fuzz``.

Options are libFuzzer's (``-max_total_time=60``, ``-runs=100000``). ``--planted`` puts a missing bounds check into the
reader of an A-ASSOCIATE-AC, to see that it is found: the run must then end with an error.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["remediate.probes"]):
    from remediate.model.observation import Rung
    from remediate.model.site import ServiceKind
    from remediate.probes import dicom
    from remediate.probes import upper_layer as ul
    from remediate.probes.found import STREAM_FAILURES, Found

from tests.probes.canned import GOOD, Canned
from tests.probes.peers import question

PLANTED = "--planted"
KINDS = (ServiceKind.DICOM, ServiceKind.DICOM_TLS)
#: Separates the conversations of the connections that one question makes.
SEPARATOR = b"\xff\xfe\xfd"


def accepted(data: bytes) -> None:
    try:
        found = ul.accepted(data)
    except ul.Malformed:
        return
    assert found.contexts <= ul.ROLE.keys()
    assert not 0 < found.max_length < 64


def response(data: bytes) -> None:
    """Never waits: everything has come already."""
    reading = ul.response(Canned(data), ul.ECHO_RSP)
    try:
        reading.send(None)
    except StopIteration as ended:
        assert 0 <= ended.value.status <= 0xFFFF
    except (ul.Malformed, ul.Aborted):
        pass
    except STREAM_FAILURES:
        pass
    else:
        raise AssertionError("it waits for more than there is")


def climb(data: bytes, kind: ServiceKind) -> None:
    found = Found(dicom.FIRST)
    line = Canned(*data.split(SEPARATOR))
    LOOP.run_until_complete(dicom.ask(line, question(104, kind), found))
    assert found.rung.reachable
    assert line.connections <= 3
    assert found.rung is not Rung.DATA_RETURNED or found.status in dicom.PENDING


def one(data: bytes) -> None:
    which, rest = data[:1], data[1:]
    if which < b"\x55":
        accepted(rest)
    elif which < b"\xaa":
        response(rest)
    else:
        climb(rest, KINDS[which[0] & 1])


def plant() -> None:
    """The bug: a presentation context item is looked into before its length is."""
    sound = ul.accepted

    def careless(body: bytes) -> ul.Accepted:
        for kind, value in ul._items(body[68:]):
            if kind == 0x21 and value[2] > 4:
                raise ul.Malformed("a malformed A-ASSOCIATE-AC")
        return sound(body)

    ul.accepted = atheris.instrument_func(careless)


def seeds(folder: Path) -> None:
    """What good peers say, for each of the readers."""
    for number, said in enumerate(GOOD):
        (folder / f"accepted-{number}").write_bytes(b"\x00" + said[6:])
        (folder / f"response-{number}").write_bytes(b"\x60" + said)
    for number, kind in enumerate((b"\xaa", b"\xab")):
        (folder / f"climb-{number}").write_bytes(kind + GOOD[0] + GOOD[2] + GOOD[5])
        (folder / f"again-{number}").write_bytes(kind + GOOD[0] + GOOD[11] + SEPARATOR + GOOD[0] + GOOD[5])
        (folder / f"tls-{number}").write_bytes(kind + GOOD[12] + SEPARATOR + GOOD[0] + GOOD[2] + GOOD[6])


LOOP = asyncio.new_event_loop()

if __name__ == "__main__":
    options = [option for option in sys.argv[1:] if option != PLANTED]
    if PLANTED in sys.argv:
        plant()
    with tempfile.TemporaryDirectory() as corpus:
        seeds(Path(corpus))
        atheris.Setup([sys.argv[0], *options, corpus], one)
        atheris.Fuzz()
