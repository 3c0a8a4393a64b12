"""The runner under Nornir itself, with real threads, sockets and signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from typing import Any

import pytest
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from remediate.errors import DeadlineExceeded, Interrupted, UsageError
from remediate.runner import Cancellation, CoroutineTask, LoopRunner, deadline, run


class Events:
    """A processor that keeps what it is told, and on which thread; ``on`` reacts to it."""

    def __init__(self, on: Callable[[str, str], None] = lambda *_: None) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.threads: set[int] = set()
        self._on = on

    def _keep(self, event: str, task: Task, host: str) -> None:
        self.threads.add(threading.get_ident())
        self.seen.append((event, task.name, host))
        self._on(event, host)

    def task_started(self, task: Task) -> None:
        self._keep("all started", task, "")

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        assert len(result) == len(task.nornir.inventory.hosts)
        self._keep("all completed", task, "")

    def task_instance_started(self, task: Task, host: Host) -> None:
        self._keep("started", task, host.name)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        assert result[0].host is host or result.failed
        self._keep("completed", task, host.name)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        self._keep("sub started", task, host.name)

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        assert result.name == task.name
        self._keep("sub completed", task, host.name)


@pytest.fixture
def runner() -> Iterator[LoopRunner]:
    with closing(LoopRunner()) as one:
        yield one


def site(runner: LoopRunner, count: int, *processors: Any) -> Nornir:
    hosts = Hosts({name: Host(name) for name in (f"h{number}" for number in range(count))})
    nornir = Nornir(Inventory(hosts), config=Config(), runner=runner)
    return nornir.with_processors(list(processors)) if processors else nornir


def errors(result: AggregatedResult) -> dict[str, type[BaseException] | None]:
    return {name: type(one[0].exception) if one[0].exception else None for name, one in result.items()}


async def name_of(task: CoroutineTask) -> str:
    await asyncio.sleep(0)
    return task.host.name


def name_in_thread(task: Task) -> str:
    return task.host.name


def test_it_is_the_plugin_that_nornir_finds() -> None:
    (point,) = metadata.entry_points(group="nornir.plugins.runners", name="RemediateRunner")
    assert point.load() is LoopRunner


def test_two_hundred_hosts_on_one_loop(runner: LoopRunner) -> None:
    """All at the same time: each waits until the last has come."""
    everybody = asyncio.Event()
    names: set[str] = set()
    threads: set[int] = set()

    async def meet(task: CoroutineTask) -> Result:
        names.add(task.host.name)
        threads.add(threading.get_ident())
        if len(names) == 200:
            everybody.set()
        await everybody.wait()
        return Result(task.host, result=task.host.name, changed=True)

    result = site(runner, 200).run(meet)
    assert [one.result for one in result.values()] == [f"h{number}" for number in range(200)]
    assert list(result) == [f"h{number}" for number in range(200)]
    assert all(one.changed and one[0].name == "meet" for one in result.values())
    assert len(threads) == 1


def test_no_more_at_a_time_than_allowed() -> None:
    now, most = 0, 0

    async def count(_: CoroutineTask) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    with closing(LoopRunner(max_coroutines=7)) as runner:
        assert not site(runner, 50).run(count).failed
    assert most == 7


def test_the_loop_lives_from_task_to_task(runner: LoopRunner) -> None:
    """What is opened on it in one task, or before all, is used in the next."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def put(task: CoroutineTask) -> None:
        await queue.put(task.host.name)

    async def get(_: CoroutineTask) -> str:
        return await queue.get()

    nornir = site(runner, 3)
    nornir.run(put)
    assert {one.result for one in nornir.run(get).values()} == {"h0", "h1", "h2"}
    runner.submit(queue.put("from outside")).result()
    assert runner.submit(queue.get()).result() == "from outside"


def test_ordinary_tasks_run_in_threads(runner: LoopRunner) -> None:
    everybody = threading.Barrier(20)

    def meet(task: Task) -> str:
        everybody.wait()
        task.run(name_in_thread)
        return task.host.name

    result = site(runner, 40).run(meet)
    assert {name: (one[0].result, one[1].result) for name, one in result.items()} == {
        f"h{number}": (f"h{number}", f"h{number}") for number in range(40)
    }


def test_every_host_has_a_result_however_its_task_ends(runner: LoopRunner) -> None:
    def end(name: str) -> None:
        match name:
            case "h1":
                raise ValueError("no")
            case "h2":
                raise SystemExit(3)
            case "h3":
                raise KeyboardInterrupt
            case "h4":
                raise asyncio.CancelledError

    async def on_loop(task: CoroutineTask) -> str:
        end(task.host.name)
        return "done"

    def in_thread(task: Task) -> str:
        end(task.host.name)
        return "done"

    for task, cancelled in ((on_loop, Interrupted), (in_thread, RuntimeError)):
        nornir = site(runner, 8)
        result = nornir.run(task)
        assert list(result) == list(nornir.inventory.hosts)
        assert errors(result) == {
            **dict.fromkeys(nornir.inventory.hosts),
            "h1": ValueError,
            "h2": RuntimeError,
            "h3": RuntimeError,
            "h4": cancelled,
        }
        assert nornir.data.failed_hosts == {"h1", "h2", "h3", "h4"}


# -- subtasks -----------------------------------------------------------------------------------------


def test_subtasks_of_coroutines(runner: LoopRunner) -> None:
    async def fails(task: CoroutineTask, only: str) -> str:
        if task.host.name == only:
            raise ValueError("no")
        return "fine"

    async def outer(task: CoroutineTask) -> str:
        inner = await task.arun(name_of)
        await task.arun(fails, only="h1", name="second")
        return f"outer {inner.result}"

    events = Events()
    result = site(runner, 2, events).run(outer)
    assert [one.result for one in result["h0"]] == ["outer h0", "h0", "fine"]
    assert result["h1"].failed
    assert isinstance(result["h1"][0].exception, NornirSubTaskError)
    assert isinstance(result["h1"][2].exception, ValueError)
    assert [(event, name) for event, name, host in events.seen if host == "h1"] == [
        ("started", "outer"),
        ("sub started", "name_of"),
        ("sub completed", "name_of"),
        ("sub started", "second"),
        ("sub completed", "second"),
        ("completed", "outer"),
    ]


def test_the_wrong_kind_of_subtask_is_refused(runner: LoopRunner) -> None:
    """Nornir's own `run` would give a coroutine object as a result, and call that a success."""

    def thread_runs_coroutine(task: Task) -> None:
        task.run(name_of)

    async def coroutine_runs_blocking(task: CoroutineTask) -> None:
        await task.arun(name_in_thread)

    async def coroutine_blocks(task: CoroutineTask) -> None:
        task.run(name_in_thread)

    for wrong in (thread_runs_coroutine, coroutine_runs_blocking, coroutine_blocks):
        assert errors(site(runner, 1).run(wrong)) == {"h0": TypeError}


def test_a_run_on_its_own_loop_is_refused(runner: LoopRunner) -> None:
    async def nested(task: CoroutineTask) -> None:
        task.nornir.run(name_of)

    result = site(runner, 1).run(nested)
    assert "the loop that it would wait for" in str(result["h0"][0].exception)


# -- deadlines ----------------------------------------------------------------------------------------


async def forever(task: CoroutineTask, hosts: tuple[str, ...] = ("h1",)) -> str:
    if task.host.name in hosts:
        await asyncio.Event().wait()
    return "done"


def test_a_coroutine_that_is_late_has_failed() -> None:
    with closing(LoopRunner(deadline=0.05)) as runner:
        nornir = site(runner, 3)
        result = nornir.run(forever)
    assert errors(result) == {"h0": None, "h1": DeadlineExceeded, "h2": None}
    assert str(result["h1"][0].exception).startswith("h1: not finished after 0.05 s")
    assert nornir.data.failed_hosts == {"h1"}


def test_a_time_out_of_the_task_itself_is_not_the_deadline() -> None:
    async def own(_: CoroutineTask) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with closing(LoopRunner(deadline=60)) as runner:
        assert errors(site(runner, 1).run(own)) == {"h0": TimeoutError}


def test_who_finishes_in_spite_of_the_deadline_is_late_all_the_same() -> None:
    async def stubborn(_: CoroutineTask) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done after all"
        return "never"

    with closing(LoopRunner(deadline=0.05)) as runner:
        assert errors(site(runner, 1).run(stubborn)) == {"h0": DeadlineExceeded}


def test_a_task_brings_its_own_deadline() -> None:
    @deadline(0.05)
    async def short(_: CoroutineTask) -> None:
        await asyncio.Event().wait()

    @deadline(None)
    async def endless(_: CoroutineTask) -> str:
        await asyncio.sleep(0.1)
        return "done"

    async def outer(task: CoroutineTask) -> None:
        await task.arun(short)

    with closing(LoopRunner(deadline=60)) as runner:
        assert errors(site(runner, 1).run(short)) == {"h0": DeadlineExceeded}
        result = site(runner, 1).run(outer)
        assert [type(one.exception) for one in result["h0"]] == [NornirSubTaskError, DeadlineExceeded]
    with closing(LoopRunner(deadline=0.01)) as runner:
        assert errors(site(runner, 1).run(endless)) == {"h0": None}


class Session:
    """A session with a device that never answers: a real TCP connection to a listener on loopback."""

    open_after: threading.Event | None = None

    def __init__(self) -> None:
        self.aborts = 0

    @property
    def connection(self) -> Session:
        return self

    def open(
        self,
        hostname: str | None,
        username: str | None,  # noqa: ARG002  # Nornir's protocol
        password: str | None,  # noqa: ARG002  # the same
        port: int | None,
        *_: Any,
        **__: Any,
    ) -> None:
        if self.open_after is not None:
            self.open_after.wait()
        assert port is not None
        self._socket = socket.create_connection((hostname, port))

    def close(self) -> None:
        self._socket.close()

    def ask(self) -> bytes:
        if not (answer := self._socket.recv(1)):
            raise ConnectionError("the session ended")
        return answer

    def abort(self) -> None:
        self.aborts += 1
        self._socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def silent(runner: LoopRunner) -> Iterator[Nornir]:
    """Three devices that accept and then say nothing."""
    ConnectionPluginRegister.register("session", Session)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nornir = site(runner, 3)
        for host in nornir.inventory.hosts.values():
            host.hostname, host.port = server.getsockname()
        yield nornir
        for host in nornir.inventory.hosts.values():
            host.close_connections()
    ConnectionPluginRegister.deregister("session")


@deadline(0.1)
def ask(task: Task, only: tuple[str, ...] = ("h1",)) -> str:
    if task.host.name not in only:
        return "done"
    session = task.host.get_connection("session", task.nornir.config)
    return str(session.ask())


def test_a_hanging_session_is_aborted_and_its_thread_joined(silent: Nornir) -> None:
    before = set(threading.enumerate())
    result = silent.run(ask)
    assert set(threading.enumerate()) <= before
    assert errors(result) == {"h0": None, "h1": DeadlineExceeded, "h2": None}
    error = result["h1"][0].exception
    assert error is not None
    assert isinstance(error.__cause__, ConnectionError)
    assert silent.inventory.hosts["h1"].connections["session"].connection.aborts == 1


def test_a_session_that_opens_after_the_deadline_is_aborted_too(
    silent: Nornir, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = threading.Event()
    monkeypatch.setattr(Session, "open_after", opens)
    later = threading.Timer(0.3, opens.set)  # well after the deadline of 0.1 s
    later.start()
    assert errors(silent.run(ask, only=("h0", "h1", "h2"))) == dict.fromkeys(("h0", "h1", "h2"), DeadlineExceeded)
    later.join()


def test_an_abort_that_fails_spoils_no_other(
    silent: Nornir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = Session.abort

    def abort(session: Session) -> None:
        good(session)
        raise OSError("gone already")

    monkeypatch.setattr(Session, "abort", abort)
    assert errors(silent.run(ask, only=("h0", "h2"))) == {"h0": DeadlineExceeded, "h1": None, "h2": DeadlineExceeded}
    assert "could not be aborted" in caplog.text


class Patient:
    """An open connection whose abort only tells the task that its time is over."""

    def __init__(self) -> None:
        self.connection = self
        self.told = threading.Event()

    def abort(self) -> None:
        self.told.set()


def test_a_thread_that_finishes_late_is_waited_for_and_has_failed() -> None:
    ended: list[str] = []

    def late(task: Task, patient: Patient) -> str:
        task.host.connections["patient"] = patient  # type: ignore[assignment]  # all that the runner looks at
        patient.told.wait()
        ended.append(task.host.name)
        return "done after all"

    with closing(LoopRunner(deadline=0.05)) as runner:
        result = site(runner, 1).run(late, patient=Patient())
    assert ended == ["h0"]
    assert errors(result) == {"h0": DeadlineExceeded}


# -- cancel -------------------------------------------------------------------------------------------


def test_cancel_midway_on_the_loop() -> None:
    """Twenty at a time: the first twenty are cancelled in flight, the other thirty never start."""
    stop = Cancellation()
    started: list[str] = []

    async def work(task: CoroutineTask) -> None:
        started.append(task.host.name)
        if len(started) == 20:
            stop.request("the window has closed")
        await asyncio.Event().wait()

    with closing(LoopRunner(max_coroutines=20, cancellation=stop)) as runner:
        result = site(runner, 50).run(work)
    assert len(started) == 20
    assert errors(result) == dict.fromkeys((f"h{number}" for number in range(50)), Interrupted)
    said = [str(one[0].exception) for one in result.values()]
    assert sum("cancelled: the window has closed" in text for text in said) == 20
    assert sum("not started: the window has closed" in text for text in said) == 30


def test_cancel_lets_threads_finish() -> None:
    stop = Cancellation()
    both, go = threading.Barrier(2), threading.Event()

    def push(task: Task) -> str:
        if both.wait() == 0:
            stop.request()
            go.set()
        go.wait()
        return "pushed"

    with closing(LoopRunner(num_workers=2, cancellation=stop)) as runner:
        result = site(runner, 6).run(push)
        assert errors(result) == {"h0": None, "h1": None, **dict.fromkeys(("h2", "h3", "h4", "h5"), Interrupted)}
        assert runner.cancellation.requested
        assert errors(site(runner, 2).run(push)) == {"h0": Interrupted, "h1": Interrupted}
        again = runner.with_cancellation(Cancellation())
        assert errors(site(again, 2).run(name_of)) == {"h0": None, "h1": None}


def test_a_cancelled_subtask_ends_its_task_too() -> None:
    stop = Cancellation()
    after: list[str] = []

    async def inner(_: CoroutineTask) -> None:
        stop.request()
        await asyncio.Event().wait()

    async def outer(task: CoroutineTask) -> None:
        try:
            await task.arun(inner)
        except NornirSubTaskError:
            after.append("went on")

    with closing(LoopRunner(cancellation=stop)) as runner:
        assert errors(site(runner, 1).run(outer)) == {"h0": Interrupted}
    assert after == []


def test_ctrl_c_on_the_loop(runner: LoopRunner) -> None:
    async def press(task: CoroutineTask) -> None:
        if task.host.name == "h1":
            press_ctrl_c()
        await asyncio.Event().wait()

    events = Events()
    with pytest.raises(KeyboardInterrupt):
        site(runner, 3, events).run(press)
    assert runner.cancellation.reason == "interrupted from the keyboard"
    assert [event for event, _, _ in events.seen].count("completed") == 3  # told before it was raised again


def test_ctrl_c_with_threads(runner: LoopRunner) -> None:
    finished: list[str] = []
    ready, requested = threading.Barrier(3), threading.Event()

    def push(task: Task) -> None:
        ready.wait()
        if task.host.name == "h1":
            press_ctrl_c()
        requested.wait()
        finished.append(task.host.name)

    before = set(threading.enumerate())
    with runner.cancellation.calling(requested.set), pytest.raises(KeyboardInterrupt):
        site(runner, 3).run(push)
    assert sorted(finished) == ["h0", "h1", "h2"]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("attempt", range(8))
def test_ctrl_c_twice_does_not_wait(runner: LoopRunner, attempt: int) -> None:
    """Several times: a signal that came just before the main thread blocked used to be noticed by chance only."""
    free, left, requested = threading.Event(), threading.Event(), threading.Event()

    def push(_: Task) -> None:
        press_ctrl_c()
        requested.wait()
        press_ctrl_c()
        free.wait()
        left.set()

    with runner.cancellation.calling(requested.set), pytest.raises(KeyboardInterrupt):
        site(runner, 1).run(push)
    assert not left.is_set()
    free.set()
    assert left.wait(60)


def press_ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_a_closed_runner_says_so(runner: LoopRunner) -> None:
    async def close(task: CoroutineTask) -> None:
        closer.start()
        await asyncio.Event().wait()

    closer = threading.Thread(target=runner.close)
    assert errors(site(runner, 1).run(close)) == {"h0": Interrupted}
    closer.join()
    with pytest.raises(Interrupted, match="closed"):
        runner.submit(asyncio.sleep(0))


# -- processors ---------------------------------------------------------------------------------------


def test_events_are_streamed_in_order_on_one_thread(runner: LoopRunner) -> None:
    """The task does not end before the processor has been told of its start: it is told while it happens."""
    told = threading.Event()
    events = Events(lambda event, _: told.set() if event == "started" else None)

    def wait(_: Task) -> bool:
        return told.wait(60)

    result = site(runner, 1, events).run(wait)
    assert result["h0"].result is True
    run(site(runner, 30, events), name_of)
    for number in range(30):
        mine = [event for event, name, host in events.seen if (name, host) == ("name_of", f"h{number}")]
        assert mine == ["started", "completed"]
    whole = [(event, name) for event, name, host in events.seen if not host]
    assert whole[-2:] == [("all started", "name_of"), ("all completed", "name_of")]
    assert events.seen[-1][0] == "all completed"


def test_instance_events_stay_on_one_thread_of_their_own(runner: LoopRunner) -> None:
    events = Events()
    run(site(runner, 30, events), name_in_thread)
    assert len(events.threads) == 1
    assert threading.get_ident() not in events.threads


def test_all_is_told_before_the_run_returns(runner: LoopRunner) -> None:
    """The processor is held at the first event until all tasks are done."""
    done = threading.Event()
    names: list[str] = []

    async def work(task: CoroutineTask) -> None:
        names.append(task.host.name)
        if len(names) == 10:
            done.set()

    held = Events(lambda _, host: assert_set(done) if host else None)
    site(runner, 10, held).run(work)
    assert len([event for event, _, host in held.seen if host]) == 20


def assert_set(event: threading.Event) -> None:
    assert event.wait(60)


@pytest.mark.parametrize("error", [ValueError("no display"), SystemExit(1)])
@pytest.mark.parametrize("task", [name_of, name_in_thread])
def test_a_broken_processor_breaks_nothing_and_is_told(
    runner: LoopRunner, caplog: pytest.LogCaptureFixture, error: BaseException, task: Callable[..., Any]
) -> None:
    def broken(_: str, host: str) -> None:
        if host in ("h1", ""):
            raise error

    good = Events()
    nornir = site(runner, 3, Events(broken), good)
    with pytest.warns(RuntimeWarning, match=r"processor Events failed: task_started") as caught:
        result = run(nornir, task)
    assert len(caught) == 1
    assert errors(result) == {"h0": None, "h1": None, "h2": None}
    assert len([event for event, _, host in good.seen if host]) == 6
    assert "failed in task_instance_completed" in caplog.text


# -- one stage ----------------------------------------------------------------------------------------


def test_a_stage_starts_afresh(runner: LoopRunner) -> None:
    """Nornir leaves out who failed before, so that a rollback would miss exactly the failed host."""

    async def fail(_: CoroutineTask) -> None:
        raise ValueError("no")

    nornir = site(runner, 3)
    run(nornir, fail, hosts=["h1"])
    assert nornir.data.failed_hosts == {"h1"}
    assert set(nornir.run(name_of)) == {"h0", "h2"}
    assert set(run(nornir, name_of, on_failed=False)) == {"h0", "h2"}
    assert set(run(nornir, name_of)) == {"h0", "h1", "h2"}
    assert nornir.data.failed_hosts == set()


def test_parameters_and_name_reach_the_task(runner: LoopRunner) -> None:
    async def add(_: CoroutineTask, a: int, b: int) -> int:
        return a + b

    result = run(site(runner, 1), add, name="sum", a=1, b=2)
    assert (result.name, result["h0"].result) == ("sum", 3)


def test_no_result_is_lost_to_raise_on_error(runner: LoopRunner) -> None:
    async def fail(_: CoroutineTask) -> None:
        raise ValueError("no")

    nornir = site(runner, 2)
    nornir.config.core.raise_on_error = True
    assert errors(run(nornir, fail)) == {"h0": ValueError, "h1": ValueError}


def test_no_host_is_no_success(runner: LoopRunner) -> None:
    nornir = site(runner, 1)
    with pytest.raises(UsageError, match="no host"):
        run(nornir, name_of, hosts=[])
    with pytest.raises(UsageError, match="not in the inventory: h7"):
        run(nornir, name_of, hosts=["h0", "h7"])
    nornir.data.failed_hosts.add("h0")
    with pytest.raises(UsageError, match="no host"):
        run(nornir, name_of, on_failed=False)


@pytest.mark.parametrize("limits", [{"num_workers": 0}, {"max_coroutines": 0}])
def test_a_runner_has_workers(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        LoopRunner(**limits)  # type: ignore[arg-type]  # the numbers by name
