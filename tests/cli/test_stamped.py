"""At a prompt: an anchor that an authority outside stamps, and what that finds which a signature does not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from remediate.model.base import canonical
from tests.cli.prompt import Said, User
from tests.record.test_record_anchor import filled, rewritten
from tests.record.tsa import Authority, serving

ANCHOR = ("record", "anchor", "--key", "auditor", "--out", "anchor.json")
VERIFY = ("record", "verify", "--anchor", "anchor.json", "--allowed-signers", "allowed")


@pytest.fixture
def tsa(user: User, tmp_path: Path) -> Iterator[Authority]:
    """The record has two changes, and somebody has a key that counts."""
    user.patch.setenv("no_proxy", "127.0.0.1")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "auditor"], check=True)
    user.write("allowed", f"auditor {Path('auditor.pub').read_text()}")
    filled(user.record)
    with serving(Authority(tmp_path / "tsa")) as standing:
        yield standing


def stamped(user: User, tsa: Authority) -> Said:
    said = user.types(*ANCHOR, "--tsa", tsa.url, "--tsa-ca", str(tsa.ca))
    assert said.status == 0, said.err
    return said


def verified(user: User, tsa: Authority) -> Said:
    return user.types(*VERIFY, "--tsa-ca", str(tsa.ca))


def test_stamped_and_found_so(user: User, tsa: Authority) -> None:
    said = stamped(user, tsa)
    assert said.err == "written to anchor.json\nwritten to anchor.json.tsr\n"
    assert Path("anchor.json.tsr").stat().st_mode & 0o777 == 0o600
    assert {where for call, where in said.network if call == "socket.connect"} == {("127.0.0.1", int(tsa.url[17:-4]))}
    said = verified(user, tsa)
    assert (said.status, said.err, said.network) == (0, "", [])
    found = re.search(
        r"by auditor \(SHA256:\S+\)\n  the anchor was time-stamped ([\d: -]+) UTC, by whom (\S+) ", said.out
    )
    assert found
    assert (found[1][:2], found[2]) == ("20", str(tsa.ca))
    assert "  its time stamp anchor.json.tsr was not looked at (--tsa-ca FILE)\n" in user.types(*VERIFY).out


def test_a_name_in_brackets_is_printed_as_it_is(user: User, tsa: Authority) -> None:
    anchor = "anchor [red].json"
    said = user.types(*ANCHOR[:-1], anchor, "--tsa", tsa.url, "--tsa-ca", str(tsa.ca))
    assert (said.status, said.err) == (0, f"written to {anchor}\nwritten to {anchor}.tsr\n")


def test_a_record_that_was_cut_or_rewritten(user: User, tsa: Authority) -> None:
    stamped(user, tsa)
    rewritten(user.record, entries=5, change=lambda seq, body: canonical({"n": 99}) if seq == 2 else body)
    said = verified(user, tsa)
    assert (said.status, said.out) == (1, "")
    assert said.err == "! one: entry 5 is not the one that was anchored: the chain was rewritten\n"
    rewritten(user.record, entries=3)
    said = verified(user, tsa)
    assert (said.status, said.out) == (1, "")
    assert said.err == "! one: was anchored with 5 entries, 3 are there: its end was cut off\n"


def test_somebody_whose_key_counts_cannot_exchange_the_anchor(user: User, tsa: Authority) -> None:
    stamped(user, tsa)
    stamp = Path("anchor.json.tsr").read_bytes()
    rewritten(user.record, entries=3)
    Path("anchor.json.tsr").unlink()
    assert user.types(*ANCHOR).status == 0
    assert user.types(*VERIFY).status == 0, "chain and signature fit the new record"
    user.write("anchor.json.tsr", stamp)
    said = verified(user, tsa)
    assert (said.status, said.out) == (2, "")
    assert said.err == (
        "error: anchor.json.tsr: the time stamp is of something else than this anchor\n"
        "  next: the anchor or its stamp was exchanged or changed: find out by whom\n"
    )


def test_a_stamp_that_was_taken_away(user: User, tsa: Authority) -> None:
    stamped(user, tsa)
    Path("anchor.json.tsr").unlink()
    said = verified(user, tsa)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(
        "error: anchor.json.tsr: the time stamp cannot be read: No such file or directory\n  next: "
    )


def test_without_a_stamp_that_counts_nothing_is_written(user: User, tsa: Authority, tmp_path: Path) -> None:
    def refused(*more: str) -> str:
        said = user.types(*ANCHOR, *more)
        assert (said.status, said.out) == (2, "")
        assert said.err.startswith("error: ")
        assert said.err.count("\n  next: ") == 1
        assert list(tmp_path.glob("*anchor.json*")) == []
        return said.err

    with serving(Authority(tmp_path / "expired", lasts=timedelta(days=-1))) as expired:
        said = refused("--tsa", expired.url, "--tsa-ca", str(expired.ca))
        assert f"{expired.url}: who signed the time stamp does not count: certificate has expired" in said
        assert "who signed the time stamp does not count: " in refused("--tsa", tsa.url, "--tsa-ca", str(expired.ca))
    assert "no answer: Connection refused" in refused("--tsa", expired.url, "--tsa-ca", str(expired.ca))
    assert "is not one that can be asked" in refused("--tsa", "tsa.example", "--tsa-ca", str(tsa.ca))
