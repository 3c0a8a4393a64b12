"""A plan shows where a site can be attacked: others never read it, not for a moment either."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.lab.embedded.site import EmbeddedSite
from remediate.testing import simulated_site
from tests.cli.prompt import User

BOOK = "- name: Close\n  hosts: pacs\n  vars: {revert_in: 1m}\n  tasks:\n    - {name: Close, apply: acl}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with simulated_site(tmp_path_factory.mktemp("private") / "site") as standing:
        yield standing


def test_a_plan_in_a_shared_folder(user: User, site: EmbeddedSite, tmp_path: Path) -> None:
    user.write("close.yaml", BOOK)
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    victim, link, old = tmp_path / "victim", shared / "link.json", shared / "old.json"
    victim.write_text("theirs")
    link.symlink_to(victim)
    old.write_text("older, and everybody's")
    old.chmod(0o666)
    with old.open() as theirs:
        for to in (link, old):
            argv = ("plan", "close.yaml", "-i", str(site.inventory), "--out", str(to))
            assert user.types(*argv).status == 0
            assert not to.is_symlink() and stat.S_IMODE(to.stat().st_mode) == 0o600
            assert '"waves"' in to.read_text()
        assert theirs.read() == "older, and everybody's"
    assert victim.read_text() == "theirs"


def test_a_plan_that_could_not_be_written_whole_is_not_there_at_all(
    user: User, site: EmbeddedSite, tmp_path: Path
) -> None:
    """Its first bytes are not left behind for everybody to read; as on a disk that is full."""
    user.write("close.yaml", BOOK)
    to = tmp_path / "shared" / "plan.json"
    to.parent.mkdir(mode=0o777)
    program = str(Path(sys.executable).with_name("remediate"))
    done = subprocess.run(
        [program, "plan", "close.yaml", "-i", str(site.inventory), "--out", str(to)],
        capture_output=True,
        text=True,
        check=False,
        umask=0,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert list(to.parent.iterdir()) == []
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        f"error: {to}: the plan cannot be written: File too large",
        "  next: name a file in an existing folder of yours with --out",
    ]
