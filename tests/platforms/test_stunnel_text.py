"""``tls_only`` → options of stunnel's services, on files as people have them."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import Behind, TlsIntent
from remediate.platforms.archive.files import Files
from remediate.platforms.stunnel import OURS, SPEC, Stunnel
from remediate.platforms.stunnel.document import Document
from remediate.render import Renderer

FRONTS = {2762: "north", 2763: "south"}
DEVICE = Device(
    name="tls-1",
    platform="stunnel",
    guard=Guard(interface=()),
    config=ConfigFile(
        path="/etc/stunnel/pacs.conf", restart="true", ports=(2762, 2763), dicom_ports=(2762, 2763), fronts=FRONTS
    ),
)
FILE = """\
; by hand: the front of both archives
pid = /run/stunnel.pid
sslVersionMin = TLSv1

[north]
accept  = 10.10.0.6:2762
connect = 10.10.0.5:104
cert    = /etc/stunnel/own.crt
  key   = /etc/stunnel/old.key
; verifyChain = yes
requireCert = no

[south]
  accept = :::2763
  connect = 10.10.1.5:4242
  cert = /etc/stunnel/own.crt

# nobody's in the inventory
[vendor]
accept = 4443
connect = 10.10.0.9:443
cert = /etc/stunnel/vendor.crt
"""
PACS = {"north": ("10.10.0.5", 104, 2762), "south": ("10.10.1.5", 4242, 2763)}


def intent(pacs: str = "north") -> TlsIntent:
    address, port, front = PACS[pacs]
    return TlsIntent(
        pacs=pacs,
        control="tls_only",
        device="tls-1",
        certificate="/etc/stunnel/own.crt",
        key="/etc/stunnel/own.key",
        trusted="/etc/stunnel/peers.crt",
        ports=(front,),
        behind=(Behind(address=ip_address(address), port=port),),
        peers=(),
    )


def candidate(text: str, *intents: TlsIntent) -> Candidate:
    sections = guarding.sections(DEVICE, intents or [intent()], text)
    return guarding.candidate(DEVICE, [s for s in sections if s.rules != s.previous], text, Renderer())


def applied(text: str, patch: str) -> str:
    return Stunnel().patched(Document(text), patch).text


NORTH = FILE.replace("/etc/stunnel/old.key", "/etc/stunnel/own.key").replace(
    "requireCert = no\n",
    "requireCert = yes\nCAfile = /etc/stunnel/peers.crt\nsslVersionMin = TLSv1.2\nverifyChain = yes\n",
)
SOUTH = "".join(
    f"  {line}\n"
    for line in (
        "CAfile = /etc/stunnel/peers.crt",
        "key = /etc/stunnel/own.key",
        "requireCert = yes",
        "sslVersionMin = TLSv1.2",
        "verifyChain = yes",
    )
)


def test_one_service_and_back_to_the_byte() -> None:
    made = candidate(FILE)
    assert [section.name for section in made.sections] == ["tls_only_north"]
    assert set(json.loads(made.text)) == {"2762"}
    after = applied(FILE, made.text)
    assert after == NORTH
    assert applied(after, made.inverse) == FILE


def test_two_archives_behind_one_front_leave_each_other_alone() -> None:
    first = applied(FILE, candidate(FILE).text)
    made = candidate(first, intent("south"))
    assert set(json.loads(made.text)) == {"2763"}
    after = applied(first, made.text)
    assert after == NORTH.replace("  cert = /etc/stunnel/own.crt\n", f"  cert = /etc/stunnel/own.crt\n{SOUTH}")
    both = candidate(FILE, intent("north"), intent("south"))
    assert applied(FILE, both.text) == after
    assert applied(after, both.inverse) == FILE
    again = guarding.sections(DEVICE, [intent("north"), intent("south")], after)
    assert all(section.rules == section.previous for section in again)
    assert SPEC.read(DEVICE, after).sections["tls_only_port 4443"], "nobody's section, which is never written"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_the_ends_of_lines_stay_as_they_are(ends: str, last: bool) -> None:
    text = ends.join(["[north]", "accept = 2762", "connect = 104"]) + (ends if last else "")
    made = candidate(text)
    after = applied(text, made.text)
    if last:
        assert after.count("\r\n") == (after.count("\n") if ends == "\r\n" else 0)
    assert applied(after, made.inverse) == text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("requireCert = no", "client = yes", "client = yes: it speaks TLS to others"),
        ("pid =", "client = yes\npid =", "client = yes: it speaks TLS to others"),
        ("requireCert = no", "verify = 0", "the old option verify decides about certificates too"),
        ("requireCert = no", "verifyPeer = yes", "only certificates that stand in CAfile themselves get in"),
        ("requireCert = no", "requireCert = no\nrequirecert = yes", "requireCert stands twice"),
        ("requireCert = no", "PSKsecrets = /etc/psk", "needs no certificate"),
        ("requireCert = no", "redirect = 80", "would be passed on to what redirect names"),
        ("requireCert = no", "protocol = proxy", "no DICOM station gets in"),
        ("requireCert = no", "sslVersion = TLSv1.1", "nobody could speak TLS 1.2"),
        ("requireCert = no", "sslVersionMax = TLSv1", "nobody could speak TLS 1.2"),
        ("requireCert = no", "sslVersion = all", "older than 1.2 may be spoken"),
        ("requireCert = no", "ciphers = ALL:@SECLEVEL=0", "a session without any certificate"),
        ("requireCert = no", "securityLevel = 0", "a session without any certificate"),
        ("requireCert = no", "config = VerifyMode:Request", "what it does to certificates is not known"),
        ("connect = 10.10.0.5:104", "connect = 10.10.0.7:104", "it passes on to 10.10.0.7:104, and the archive"),
        ("connect = 10.10.0.5:104", "connect = 105", "it passes on to 105"),
        ("connect = 10.10.0.5:104", "exec = /bin/cat", "it connects to nobody"),
        ("[vendor]\naccept = 4443", "[vendor]\naccept = 127.0.0.1:2762", "both accept on port 2762"),
        ("accept  = 10.10.0.6:2762", "accept = 2764", "no service accepts on port 2762: add one with accept = 2762"),
        ("[vendor]\naccept = 4443", "[vendor]\nsni = north:*.example", r"\[vendor\] answers in its place"),
        ("pid =", "include = /etc/stunnel/conf.d\npid =", "files of a folder are read too"),
    ],
)
def test_what_would_lock_out_or_let_in_is_refused(old: str, new: str, said: str) -> None:
    text = FILE.replace(old, new, 1)
    assert text != FILE
    with pytest.raises(PlanError, match=said) as refused:
        candidate(text)
    assert refused.value.where == "tls-1"


@pytest.mark.parametrize(
    "line",
    ["connect = 104", "connect = localhost:104", "connect = [::1]:104", "config = Curves:P-256", "verifyPeer = no"],
)
def test_what_does_no_harm_stays(line: str) -> None:
    old = "connect = 10.10.0.5:104" if line.startswith("connect") else "requireCert = no"
    text = FILE.replace(old, line)
    assert line in applied(text, candidate(text).text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("CApath = /etc/ssl/certs", "CApath = /etc/ssl/certs there vouches for certificates too"),
        ("checkHost = ct-1.example", "only certificates with checkHost = ct-1.example get in"),
        ("ticketKeySecret = 00:11", "may be resumed after it"),
        ("connect = archive.example:104", "that archive.example:104 is the archive is not known here"),
    ],
)
def test_what_somebody_must_know_is_said(line: str, said: str) -> None:
    text = FILE.replace("connect = 10.10.0.5:104" if line.startswith("connect") else "requireCert = no", line)
    remarks = guarding.remarks(DEVICE, candidate(text), text)
    assert [one for one in remarks if said in one], remarks
    assert guarding.remarks(DEVICE, candidate(FILE), FILE) == []


def test_no_secret_leaves_the_host() -> None:
    text = "[a]\nticketKeySecret = 00:11:22\r\n; ticketMACsecret=ABCD\n\tprotocolPassword = geheim\nkey = /k\nOCSP = http://u:pw@h/\n"
    shown = Stunnel().masked(text)
    assert not [secret for secret in ("00:11", "ABCD", "geheim", "pw") if secret in shown]
    assert "key = /k" in shown and "ticketKeySecret = ********\r\n" in shown
    assert [len(line) > 0 for line in shown.split("\n")] == [len(line) > 0 for line in text.split("\n")]


@pytest.mark.parametrize("text", ["verifyChain yes\n", "[north\n", "= 3\n", "\ufeff[north]\n"])
def test_what_stunnel_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(Unprovable):
        Document(text)


@pytest.mark.parametrize(
    "patch", ['{"x": {}}', '{"2762": 3}', '{"2762": {"client": "yes"}}', '{"2762": {"cert": "a\\nclient = yes"}}']
)
def test_a_patch_that_is_not_ours_is_refused(patch: str) -> None:
    with pytest.raises(Unprovable):
        Stunnel().patched(Document(FILE), patch)


@pytest.mark.parametrize(
    ("beside", "command", "said"),
    [
        ({}, "stunnel4 /etc/stunnel/pacs.conf ", ""),
        ({}, "/usr/bin/stunnel pacs.conf", ""),
        ({"/etc/stunnel/b.conf": "[b]\naccept = 4444\n"}, "stunnel /etc/stunnel/pacs.conf", ""),
        ({"/etc/stunnel/b.conf": "[b]\naccept = 127.0.0.1:2762\n"}, "", "b.conf beside it accepts on port 2762 too"),
        ({"/etc/stunnel/b.conf": "nonsense\n"}, "", "b.conf beside it cannot be read"),
        ({}, "stunnel /etc/stunnel/other.conf", "is not stunnel with /etc/stunnel/pacs.conf"),
        ({}, "Orthanc /etc/stunnel/pacs.conf", "is not stunnel with /etc/stunnel/pacs.conf"),
    ],
)
def test_other_files_and_the_process_that_listens(beside: dict[str, str], command: str, said: str) -> None:
    wrong = Stunnel().unfit(Files("/etc/stunnel/pacs.conf", FILE, beside), command, ["tls_only"])
    assert (said in wrong[0]) if said else not wrong


BLANK = st.sampled_from(["", " ", "\t", "  "])
OTHER = st.sampled_from(["; a comment", "# TLS\t", "", "   ", "TIMEOUTclose = 0", "checkHost = a = b", ";cert = /x"])
NAME = st.sampled_from([*OURS, *(name.upper() for name in OURS)])
VALUE = st.from_regex(r"[a-z/.](?:[ -~]{0,8}[!-~])?", fullmatch=True)
OPTION = st.builds(
    lambda a, name, b, c, value, d: f"{a}{name}{b}={c}{value}{d}", BLANK, NAME, BLANK, BLANK, VALUE, BLANK
)


@given(
    st.lists(OPTION | OTHER, max_size=4),
    st.lists(OPTION | OTHER, max_size=6, unique_by=lambda line: line.split("=")[0].strip().lower() or line),
    st.lists(OPTION | OTHER, max_size=4),
    st.dictionaries(st.sampled_from(OURS), VALUE | st.none(), max_size=6),
    st.sampled_from(["", "\n"]),
)
def test_whatever_is_edited_the_rest_stays_and_comes_back(
    globals_: list[str], own: list[str], other: list[str], wanted: dict[str, str | None], end: str
) -> None:
    text = "\n".join([*globals_, "[a]", "accept = 2762", *own, "[b]", "accept = 1", *other]) + end
    document = Document(text)
    product = Stunnel()
    after = product.patched(document, json.dumps({"2762": wanted}))
    assert {name: after.get(2762, name) for name in wanted} == wanted
    assert product.foreign(after) == product.foreign(document)
    assert [s.options for s in after.services[1:]] != [] and len(after.services) == 2
    assert [(o.name, o.value) for o in after.services[1].options] == [
        (o.name, o.value) for o in document.services[1].options
    ]
    kept = [line for line in text.split("\n") if line.strip()[:1] in (";", "#")]
    assert [line for line in after.text.split("\n") if line.strip()[:1] in (";", "#")] == kept
    back = {name: document.get(2762, name) for name in wanted}
    again = product.patched(after, json.dumps({"2762": back}))
    if all(document.get(2762, name) is None or value is not None for name, value in wanted.items()):
        assert again.text == text, "to the byte, where no line of somebody's had to go"
    assert product.found(again) == product.found(document)
