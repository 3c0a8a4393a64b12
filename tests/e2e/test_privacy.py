"""No patient attribute is in anything that the program writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import leaky_pacs
from tests.e2e.conftest import User, forms

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NAME = "ZQUAGGAXO"


def test_a_pacs_that_returns_names_leaves_none_of_them_with_us(user: User) -> None:
    site = user.site
    i = site.layout
    site.stop_orthanc()
    argv = [sys.executable, str(Path(leaky_pacs.__file__)), str(i.pacs), str(i.dicom_port), str(i.web_port), NAME]
    peer = site.popen("pacs", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        outputs = []
        seen = user.do("verify", *user.inventory(), "-v", "--format", "json")
        assert seen.status == 1
        assert "data returned" in seen.out, "the names were there to be had"
        outputs += [seen.out, seen.err]
        for args in (user.run("-v", "--diff"), ["record", "list"], ["record", "verify"]):
            done = user.do(*args)
            assert done.status == 0, done.err
            outputs += [done.out, done.err]
        change = user.do("record", "list", "--format", "json").json[0]["change"]
        shown = user.do("record", "show", change, "--format", "json")
        outputs += [shown.out, user.do("record", "show", change).out]
    finally:
        peer.kill()
        peer.communicate()
    written = {path.name: path.read_bytes() for path in user.folder.iterdir() if path.is_file()}
    assert "record.db" in written
    written["output"] = "".join(outputs).encode()
    on_device = site.exec("fw", ["sh", "-c", "cat /var/lib/remediate/*/* /etc/remediate/*"]).stdout
    written["device"] = on_device.encode()
    for form in forms(NAME):
        for where, content in written.items():
            assert form not in content, f"{form!r} in {where}"


def test_the_search_itself_finds_what_it_looks_for() -> None:
    import base64

    for shift in range(3):
        hidden = base64.b64encode(b"?" * shift + f"before {NAME} after".encode())
        assert any(form in hidden for form in forms(NAME))
    assert any(form in NAME.encode("utf-16-le") for form in forms(NAME))
