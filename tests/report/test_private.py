"""What is written for its owner alone, in a folder where others may write too."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from remediate.errors import UsageError
from remediate.report import private


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_who_had_the_old_file_open_reads_nothing_of_the_new_one(shared: Path) -> None:
    to = shared / "plan.json"
    to.write_text("older, and everybody's")
    to.chmod(0o666)
    with to.open("rb") as theirs:
        private.write(to, "new", "the plan")
        assert theirs.read() == b"older, and everybody's"
    assert (to.read_text(), mode(to)) == ("new", 0o600)
    assert list(shared.iterdir()) == [to]


@pytest.mark.parametrize(("before", "after"), [(0o400, 0o400), (0o440, 0o400), (0o600, 0o600), (0o664, 0o600)])
def test_a_stricter_mode_stays(shared: Path, before: int, after: int) -> None:
    to = shared / "anchor.json"
    to.touch()
    to.chmod(before)
    private.write(to, b"new", "the anchor")
    assert mode(to) == after


@pytest.mark.parametrize("there", [True, False])
def test_a_planted_link_is_replaced_and_not_followed(shared: Path, tmp_path: Path, there: bool) -> None:
    victim = tmp_path / "authorized_keys"
    if there:
        victim.write_text("theirs")
        victim.chmod(0o644)
    to = shared / "plan.json"
    to.symlink_to(victim)
    private.write(to, "new", "the plan")
    assert not to.is_symlink() and (to.read_text(), mode(to)) == ("new", 0o600)
    assert (victim.exists() and (victim.read_text(), mode(victim))) == (there and ("theirs", 0o644))


def test_what_is_no_ordinary_file_stays_as_it_is(shared: Path) -> None:
    pipe, link, folder = shared / "pipe", shared / "link", shared / "folder"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    folder.mkdir()
    for to, why in ((pipe, "no ordinary file"), (link, "no ordinary file"), (folder, "a folder")):
        with pytest.raises(UsageError, match=f"the export cannot be written: it is {why}"):
            private.write(to, "new", "the export")
    assert link.is_symlink() and pipe.is_fifo() and not list(folder.iterdir())
    assert {path.name for path in shared.iterdir()} == {"pipe", "link", "folder"}


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)the export cannot be written: No such file.*name another file"):
        private.write(tmp_path / "no" / "such" / "folder", "text", "the export")
