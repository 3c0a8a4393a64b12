"""vsftpd.conf: what counts of it, one setting edited to the byte, and vsftpd itself as the judge."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import WebLoginIntent
from remediate.model.site import ServiceKind
from remediate.platforms.archive.files import Files
from remediate.platforms.vsftpd import SPEC, Vsftpd
from remediate.platforms.vsftpd.document import ANONYMOUS, LOCAL, Document
from remediate.render import Renderer

CONFIG = ConfigFile(path="/etc/vsftpd.conf", restart="true", ports=(21,), dicom_ports=(), fronts={21: "pacs-north"})
DEVICE = Device(name="ftp", platform="vsftpd", guard=Guard(interface=()), config=CONFIG)
INTENT = WebLoginIntent(pacs="pacs-north", control="web_auth", device="ftp", ports=(21,), kinds=(ServiceKind.FTP,))


def there_and_back(text: str) -> tuple[str, str]:
    made = guarding.candidate(DEVICE, guarding.sections(DEVICE, [INTENT], text), text, Renderer())
    then = SPEC.simulate(DEVICE, SPEC.read(DEVICE, text), made.text)
    return then.text, SPEC.simulate(DEVICE, then, made.inverse).text


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("# x\nlocal_enable=YES\n", "# x\nanonymous_enable=NO\nlocal_enable=YES\n"),
        ("local_enable=YES\nanonymous_enable=Yes\n#a\n", "local_enable=YES\nanonymous_enable=NO\n#a\n"),
        (
            "anonymous_enable=NO\nlocal_enable=true\nanonymous_enable=1",
            "anonymous_enable=NO\nlocal_enable=true\nanonymous_enable=NO",
        ),
        ("local_enable=1\n  anonymous_enable=YES\n", "local_enable=1\n  anonymous_enable=NO\n"),
        ("local_enable=YES\nanonymous_enable=false\n", "local_enable=YES\nanonymous_enable=false\n"),
    ],
)
def test_the_line_that_counts_is_the_one_that_changes(text: str, then: str) -> None:
    assert there_and_back(text) == (then, text)
    assert there_and_back(then) == (then, then), "twice is nothing"


_LINES = st.sampled_from(
    ["anonymous_enable=YES", "anonymous_enable=no", " anonymous_enable=1", "#anonymous_enable=NO", "local_enable=YES",
     "local_enable=NO", "ftpd_banner=a = b", "", "  ", "xferlog_enable=YES", "ssl_enable=YES"]
)  # fmt: skip  # lines of a file


def said(text: str, folder: Path, *options: str) -> str:
    """What vsftpd ends with, where nobody is connected to it."""
    program = shutil.which("vsftpd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs the Debian package vsftpd")
    (folder / "new").write_text(text)
    with (folder / "said").open("w+") as client:
        argv = [program, str(folder / "new"), "-olisten=NO", "-olisten_ipv6=NO", *options]
        subprocess.run(argv, stdin=client, stdout=client, check=False, timeout=60)
    return (folder / "said").read_text().strip()


@given(st.lists(_LINES, max_size=8), st.booleans())
def test_to_the_byte(lines: list[str], end: bool) -> None:
    text = "\n".join(lines) + "\n" * end
    document = Document(text)
    closed = document.with_anonymous("NO")
    assert not closed.enabled(ANONYMOUS) and closed.enabled(LOCAL) is document.enabled(LOCAL)
    assert closed.with_anonymous(document.spelt(ANONYMOUS)).text == text


@pytest.mark.parametrize(
    "line",
    [
        "anonymous_enable = NO",
        "anonymous_enable= NO",
        "anonymous_enable=NO ",
        "anonymous_enable=NO\r",
        "anonymous_enable=",
        "anonymous_enable=off",
        "local_enable=Ja",
        "local_enable",
        " # indented",
    ],
)
def test_what_vsftpd_does_not_start_with_is_not_read(line: str, tmp_path: Path) -> None:
    assert said("local_enable=YES\n", tmp_path).endswith("must be started from inetd")
    text = f"local_enable=YES\n{line}\n"
    try:
        unread = Document(text).spelt(ANONYMOUS) is None  # another name, as vsftpd says of it
    except Unprovable as error:
        unread = True
        assert error.what.startswith("vsftpd would not start with line 2 of its file")
    assert unread and "500 OOPS: vsftpd: not configured" not in said(text, tmp_path)


def test_what_counts_where_the_file_does_not_say() -> None:
    """vsftpd.conf(5)"""
    assert [Document("").enabled(name) for name in (ANONYMOUS, LOCAL)] == [True, False]


def test_nobody_left_is_refused() -> None:
    for text in ("anonymous_enable=YES\n", "local_enable=NO\n", ""):
        with pytest.raises(PlanError, match="local_enable is not YES there"):
            guarding.sections(DEVICE, [INTENT], text)


def test_passwords_in_clear_are_named() -> None:
    for text, named in (
        ("local_enable=YES\n", True),
        ("local_enable=YES\nssl_enable=YES\n", False),
        ("local_enable=YES\nssl_enable=YES\nforce_local_logins_ssl=NO\n", True),
    ):
        assert bool(SPEC.remarks(SPEC.read(DEVICE, text), [INTENT])) is named


def test_a_patch_of_something_else_is_refused() -> None:
    state = SPEC.read(DEVICE, "local_enable=YES\n")
    for patch in ({LOCAL: "NO"}, {ANONYMOUS: 1}, {ANONYMOUS: "perhaps"}, {ANONYMOUS: "NO\nlocal_enable=NO"}):
        with pytest.raises(Unprovable):
            SPEC.simulate(DEVICE, state, json.dumps(patch))


@pytest.mark.parametrize(
    ("command", "lack"),
    [
        ("", ""),
        ("/usr/sbin/vsftpd", ""),
        ("/usr/sbin/vsftpd /etc/vsftpd.conf ", ""),
        ("vsftpd /etc/vsftpd.conf -olisten_port=21", ""),
        ("vsftpd /etc/other.conf", "was started with /etc/other.conf"),
        ("vsftpd -oanonymous_enable=YES", "was started with -oanonymous_enable"),
        ("/usr/sbin/xinetd -stayalive", "is not vsftpd: /usr/sbin/xinetd"),
    ],
)
def test_how_it_was_started(command: str, lack: str) -> None:
    product = Vsftpd()
    files = Files(CONFIG.path, "", {})
    found = product.lacks(command) or product.unfit(files, command, ["web_auth"])
    assert lack in found[0] if lack else found == ()
