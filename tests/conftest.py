"""What several test packages share: the real site. Nothing of it is built unless a test asks for it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import execnet
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from remediate.lab import real
from remediate.lab.real import hosts
from remediate.lab.real.layout import PREFIX

# How long one example takes says nothing on a busy machine; what must be fast is measured in benchmarks/.
settings.register_profile("here", deadline=None)
settings.load_profile("here")

#: Most tests wait for a deadline or a timer, not for a core.
WORKERS_PER_CORE = 2


# What a shell starts in the background ignores Ctrl-C, and the programs that a test interrupts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def needs_lab(layout: real.Layout | None = None) -> None:
    """Skips in one line where the lab cannot run; where CI is set, a lab that cannot run is a failure."""
    if absent := real.missing(layout):
        text = "no real site here: " + "; ".join(absent)
        if os.environ.get("CI"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)


#: How a worker of pytest-xdist is started: its network, its processes and its /run, where the lab's lock and the names
#: of namespaces are, are no other's; and when it ends, however it ends, the kernel ends whatever it started. The shell
#: stays, as the first process there, and reaps what is orphaned.
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec")
_PREPARED = """
umount -R -l /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
"$@" || exit
exit 0
"""
#: These begin first, and each of their tests goes to whichever worker is free. Of other folders a file goes to one
#: worker as a whole: what its tests share is then made once.
_LONG = ("histories", "e2e", "faults", "platforms")


def _alone(*argv: str) -> list[str]:
    return [*_ALONE, _PREPARED, "worker", *argv]


def can_be_alone() -> bool:
    try:
        return not subprocess.run(_alone("true"), capture_output=True, check=False, timeout=60).returncode
    except FileNotFoundError:
        return False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``. Where workers would share a network and a lab there is only one: the tests run in sequence."""
    return WORKERS_PER_CORE * (os.cpu_count() or 1) if can_be_alone() else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[execnet.XSpec]) -> None:
    if can_be_alone():
        for spec in specs:
            spec.python = shlex.join(_alone(sys.executable))


class _Spread(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if Path(file).parent.name in _LONG else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For -n without --dist, in the order of collection."""
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return _Spread(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing long is left for the end."""
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(order)))


class Lab:
    """The one lab that can stand. It is built when a test asks for it, and anew for one that needs another layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._site: real.LabSite | None = None

    def site(self, layout: real.Layout) -> real.LabSite:
        """As the test before left it."""
        needs_lab(layout)
        if self._site is None or self._site.layout != layout:
            self.clear()
            self._site = real.up(self.folder, say=print, layout=layout)
        return self._site

    def clear(self) -> None:
        if self._site is not None:
            layout, self._site = self._site.layout, None
            real.down(self.folder, say=print)
            assert not hosts.namespaces(PREFIX) & {layout.namespace(role) for role in layout.roles}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab") / "site")
    yield made
    made.clear()


@pytest.fixture
def fresh_site(lab: Lab) -> real.LabSite:
    """The site in namespaces as ``up`` leaves it, whatever the test before did to it."""
    site = lab.site(real.Layout())
    site.reset()
    return site


@pytest.fixture
def own_lab(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A folder for a test that builds labs itself. Whatever it leaves there is taken down."""
    needs_lab()
    lab.clear()
    folder = tmp_path / "own"
    yield folder
    real.down(folder, say=print)
