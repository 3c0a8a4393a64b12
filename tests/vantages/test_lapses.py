"""Timers that hardly ever run out."""

from __future__ import annotations

import asyncio

import pytest

from remediate.vantages.lapses import Lapses

from .no_time import in_no_time


def test_each_runs_out_at_its_own_time_unless_it_is_cancelled() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        all_over = asyncio.get_running_loop().create_future()
        lapses = Lapses.of(asyncio.get_running_loop())
        assert lapses is Lapses.of(asyncio.get_running_loop())
        lapses.after(0.05, lambda: told.append("first"))
        cancelled = lapses.after(0.05, lambda: told.append("cancelled"))
        lapses.after(0.01, lambda: told.append("shorter"))
        lapses.after(0.1, lambda: all_over.set_result(None))
        lapses.after(0.05, lambda: told.append("second"))
        cancelled.cancel()
        cancelled.cancel()
        await all_over
        return told

    assert in_no_time(main()) == ["shorter", "first", "second"]


def test_one_that_is_begun_later_runs_out_later() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        over, times = loop.create_future(), list[float]()
        lapses = Lapses.of(loop)
        lapses.after(0.05, lambda: times.append(loop.time()))
        await asyncio.sleep(0.03)
        lapses.after(0.05, lambda: over.set_result(loop.time()))
        return [*times, await over]

    assert in_no_time(main()) == pytest.approx([0.08])


def test_nothing_is_kept_of_what_has_run_out() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        lapses = Lapses.of(loop)
        lapses.after(0.01, lambda: None).cancel()
        loop.call_later(0.03, over.set_result, None)
        await over
        assert not lapses._lengths

    in_no_time(main())
