"""What several test packages share: the real site. Nothing of it is built unless a test asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from remediate.lab import real

# How long one example takes says nothing on a busy machine; what must be fast is measured in benchmarks/.
settings.register_profile("here", deadline=None)
settings.load_profile("here")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only one lab stands at a time: tests that build their own come before the shared one is built."""
    items.sort(key=lambda item: not {"own_lab", "own_vpn_site"} & set(getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session")
def real_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.LabSite]:
    """The site in namespaces, built once. What a test changes there it takes back, or it uses ``fresh_site``."""
    needs_lab()
    folder = tmp_path_factory.mktemp("lab") / "site"
    site = real.up(folder, say=print)
    yield site
    real.down(folder, say=print)


@pytest.fixture
def fresh_site(real_site: real.LabSite) -> real.LabSite:
    """The same site as ``up`` left it, whatever the test before did to it."""
    real_site.reset()
    return real_site


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Path]:
    """A folder for a test that builds labs itself. Whatever it leaves there is taken down."""
    needs_lab()
    folder = tmp_path / "own"
    yield folder
    real.down(folder, say=print)
