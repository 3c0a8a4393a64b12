"""How gently archives are asked. Time is the loop's own, and turned on by whoever waits for it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from remediate import probes
from remediate.model.observation import Question, Rung
from remediate.model.site import Limits, LocalVia, ServiceKind
from remediate.vantages import Lookout
from remediate.vantages.pace import Pace, gate_of

from .no_time import in_no_time
from .places import greets, is_silent, question, serving, site

HERE = LocalVia()


def about(pacs: str, kind: ServiceKind = ServiceKind.DICOM, port: int = 104) -> Question:
    return Question(pacs=pacs, vantage="here", kind=kind, address=ip_address("127.0.0.1"), port=port, service_port=port)


async def turns(pace: Pace, asked: Question, times: list[float], count: int = 1) -> None:
    async with pace.gate(asked):
        for _ in range(count):
            await pace.turn(asked.pacs)
            times.append(round(asyncio.get_running_loop().time(), 6))


def test_connections_to_one_host_keep_their_distance() -> None:
    async def main() -> None:
        pace, one, other = Pace(Limits(per_host=4)), list[float](), list[float]()
        web = about("a", ServiceKind.WEB, 80)  # not held up by the association, and yet not faster
        await asyncio.gather(turns(pace, about("a"), one, 3), turns(pace, web, one), turns(pace, about("b"), other, 2))
        assert sorted(one) == [0, 0.25, 0.5, 0.75]
        assert other == [0, 0.25]

    in_no_time(main())


def test_all_together_keep_the_pace_of_the_site() -> None:
    async def main() -> None:
        pace, times = Pace(Limits(per_site=10, per_host=2)), list[float]()
        for _ in range(2):  # canaries count
            await pace.turn()
        await asyncio.gather(*(turns(pace, about(f"pacs-{n}"), times) for n in range(30)))
        assert sorted(times) == [round(n / 10, 6) for n in range(2, 32)]

    in_no_time(main())


def test_a_distance_outlives_the_question_and_is_then_forgotten() -> None:
    async def main() -> None:
        pace, times = Pace(Limits(per_host=2)), list[float]()
        for _ in range(3):
            await turns(pace, about("a"), times)
        assert times == [0, 0.5, 1]
        await asyncio.sleep(0.5)
        await turns(pace, about("b"), times)
        assert set(pace._hosts) == {"b"}

    in_no_time(main())


@pytest.mark.parametrize("limits", [Limits(), Limits(per_host=100, per_site=1000)])
def test_a_sweep_leaves_nothing_behind(limits: Limits) -> None:
    async def main() -> None:
        pace, times, most = Pace(limits), list[float](), 0
        for batch in range(50):
            await asyncio.gather(*(turns(pace, about(f"{batch}-{n}"), times) for n in range(100)))
            most = max(most, len(pace._hosts))
        assert len(times) == 5000
        assert most <= 200
        await asyncio.sleep(1)
        await turns(pace, about("last"), times)
        assert len(pace._hosts) <= 1 and len(pace._left) <= 1

    in_no_time(main())


def test_all_dicom_ports_of_a_pacs_have_one_gate() -> None:
    tls = about("a", ServiceKind.DICOM_TLS, 2762)
    assert gate_of(about("a")) == gate_of(tls) != gate_of(about("b"))
    assert gate_of(about("a", ServiceKind.WEB, 80)) != gate_of(about("a", ServiceKind.WEB, 8080)) != gate_of(tls)

    async def main() -> None:
        pace = Pace(Limits())
        inside = asyncio.Event()

        async def holds() -> None:
            async with pace.gate(about("a")):
                inside.set()
                await asyncio.sleep(5)

        async def comes() -> float:
            await inside.wait()
            async with pace.gate(tls):
                return asyncio.get_running_loop().time()

        _, came = await asyncio.gather(holds(), comes())
        assert came == 5

    in_no_time(main())


def test_no_more_associations_in_a_round_than_allowed() -> None:
    seen = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await reader.read()

    async def main() -> None:
        async with serving(counts) as port, serving(greets) as ftp:
            described = site("127.0.0.1", here=HERE).model_copy(update={"limits": Limits(associations=3)})
            lookout = Lookout(described, ["here"])
            await lookout.open()
            dicom = question(port).model_copy(
                update={"kind": ServiceKind.DICOM, "calling_ae_title": "RMD", "called_ae_title": "ANY"}
            )
            for _ in range(2):
                dial, before = lookout.round(), seen
                for number in range(3):
                    async with dial(dicom, 1) as line, line.connect():
                        pass
                    assert seen <= before + number + 1
                over = await probes.observe(dial, dicom, 1)
                assert over.rung is Rung.INCONCLUSIVE
                assert over.detail == (
                    "not asked: 3 associations with pacs-1 in this round already, and data.limits.associations allows "
                    "no more"
                )
                assert (await probes.observe(dial, question(ftp), 1)).rung is Rung.OPEN  # no association
            await lookout.aclose()

    asyncio.run(main())
    assert seen == 6


def test_what_nobody_answers_costs_no_association() -> None:
    async def main() -> None:
        described = site("127.0.0.1", here=HERE).model_copy(update={"limits": Limits(associations=1)})
        async with serving(is_silent) as port:
            lookout = Lookout(described, ["here"])
            await lookout.open()
            closed = question(1).model_copy(update={"kind": ServiceKind.DICOM_TLS})
            for _ in range(3):
                assert (await probes.observe(lookout.dial, closed, 1)).rung is Rung.CLOSED
            opened = closed.model_copy(update={"port": port})
            async with lookout.dial(opened, 1) as line, line.connect():
                pass
            await lookout.aclose()

    asyncio.run(main())


def test_our_own_pace_takes_nothing_from_the_peers_time() -> None:
    """The second connection of a question waits longer for its turn than the question's whole deadline."""

    async def main() -> None:
        described = site("127.0.0.1", here=HERE).model_copy(update={"limits": Limits(per_host=2)})
        async with serving(greets) as port:
            lookout = Lookout(described, ["here"])
            await lookout.open()
            async with lookout.dial(question(port), 0.3) as line:
                for _ in range(2):
                    async with line.connect() as stream:
                        assert await stream.exactly(3) == b"220"
            await lookout.aclose()

    asyncio.run(main())
