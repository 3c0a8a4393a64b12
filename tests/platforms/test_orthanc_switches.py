"""``tls_only`` and ``web_auth`` on files as people have them, beside ``ae_title`` in the same file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from remediate.change import guarding
from remediate.errors import DriftError, PlanError, Unprovable
from remediate.model.change import Candidate, Section
from remediate.model.device import TlsFiles
from remediate.model.rule import ArchiveIntent, Permit, TlsIntent, WebLoginIntent
from remediate.platforms.archive import certificates
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.orthanc.document import Document
from remediate.platforms.orthanc.secrets import MASK, masked
from remediate.render import Renderer
from tests.platforms.test_orthanc_settings import DEVICE, SECRET, intent, unfit
from tests.vantages.certificates import Made, make

FILE = """\
{
  // The archive of the north wing
  "DicomAet" : "ORTHANC",
  "RemoteAccessAllowed" : true,
  "AuthenticationEnabled" : false, // the readers complained
  "DicomTlsEnabled" : false,
  "DicomTlsCertificate" : "old.crt", /* from 2019 */
  "RegisteredUsers" : { "smith" : "********" },
  "DicomModalities" : { "old" : [ "OLDCT", "10.20.0.77", 104 ] }
}
"""
TLS = TlsIntent(
    pacs="north",
    control="tls_only",
    device="north",
    certificate="/etc/tls/own.crt",
    key="/etc/tls/own.key",
    trusted="/etc/tls/peers.crt",
    ports=(104,),
    peers=(Permit(peer="ct-1", source="10.20.0.10/32", ports=(104,)),),
)
WEB = WebLoginIntent(pacs="north", control="web_auth", device="north", ports=(8042,))


def candidate(text: str, *intents: ArchiveIntent) -> Candidate:
    sections = guarding.sections(DEVICE, intents, text)  # type: ignore[arg-type]  # a base class of those in the union
    return guarding.candidate(DEVICE, sections, text, Renderer())


def after(text: str, made: Candidate) -> str:
    return Document(text).merged(parsed_patch(made.text)).text


def test_only_what_is_named_changes_and_back_to_the_byte() -> None:
    made = candidate(FILE, TLS, WEB)
    now = Document(after(FILE, made))
    assert {key: now.get((key,)) for key in now.keys(()) if key.startswith(("DicomTls", "Auth"))} == {
        "AuthenticationEnabled": "true",
        "DicomTlsEnabled": "true",
        "DicomTlsCertificate": '"/etc/tls/own.crt"',
        "DicomTlsPrivateKey": '"/etc/tls/own.key"',
        "DicomTlsTrustedCertificates": '"/etc/tls/peers.crt"',
        "DicomTlsRemoteCertificateRequired": "true",
    }
    assert '"AuthenticationEnabled" : true, // the readers complained' in now.text
    assert '"DicomTlsCertificate" : "/etc/tls/own.crt", /* from 2019 */' in now.text
    assert now.merged(parsed_patch(made.inverse)).text == FILE
    assert guarding.sections(DEVICE, [TLS, WEB], now.text) == [
        Section(name=s.name, intent=s.intent, rules=s.rules, previous=s.rules) for s in made.sections
    ], "twice is nothing"


@pytest.mark.parametrize("first", [0, 1, 2])
def test_controls_come_and_go_in_any_order_and_leave_one_another_alone(first: int) -> None:
    """Three changes, one after the other; then the first of them is taken back."""
    intents = [intent(), TLS, WEB]
    intents = intents[first:] + intents[:first]
    texts, made = [FILE], []
    for one in intents:
        made.append(candidate(texts[-1], one))
        texts.append(after(texts[-1], made[-1]))
    together = Document(after(FILE, candidate(FILE, *intents)))
    assert Document(texts[-1]).get(()) == together.get(())
    back = [
        section.model_copy(update={"rules": section.previous, "previous": section.rules})
        for section in made[0].sections
    ]
    undone = after(texts[-1], guarding.candidate(DEVICE, back, texts[-1], Renderer()))
    assert Document(undone).get(()) == Document(after(FILE, candidate(FILE, *intents[1:]))).get(())


def test_what_another_control_changed_is_told_from_what_is_nobody_s() -> None:
    """Both stop a plan as it is; for the first it can be made anew."""
    made, meanwhile = candidate(FILE, WEB), candidate(FILE, TLS)
    nobodys = FILE.replace("10.20.0.77", "10.20.0.78")
    for text in (after(FILE, meanwhile), nobodys, after(FILE, made)):
        with pytest.raises(DriftError):
            guarding.check_base(DEVICE, made, text)
    guarding.check_base(DEVICE, made, FILE)
    changed = {section.name for section in meanwhile.sections}
    assert set(guarding.drifted_sections(DEVICE, made, after(FILE, meanwhile)) or ()) == changed
    assert guarding.drifted_sections(DEVICE, made, nobodys) is None


def test_a_template_that_touches_another_control_s_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orthanc").mkdir()
    (tmp_path / "orthanc" / "web_auth.j2").write_text('{"AuthenticationEnabled": true, "DicomTlsEnabled": true}')
    sections = guarding.sections(DEVICE, [WEB], FILE)
    with pytest.raises(PlanError, match="a section of another control"):
        guarding.candidate(DEVICE, sections, FILE, Renderer(tmp_path))


def test_no_member_stands_in_two_patches() -> None:
    assert parsed_patch('{"a": 1}\n{"b": {"c": null}}') == {"a": 1, "b": {"c": None}}
    for text, said in (
        ('{"a": 1} {"a": 2}', "two controls' patches name a"),
        ('{"a": 1} []', "not a JSON object"),
        ("", "not JSON"),
    ):
        with pytest.raises(Unprovable, match=said):
            parsed_patch(text)


def test_what_must_be_known_of_it_is_said() -> None:
    text = FILE.replace('"old" : [', '"far" : { "AET" : "FAR", "Host" : "192.0.2.9", "UseDicomTls" : true }, "old" : [')
    said = guarding.remarks(
        DEVICE, candidate(text.replace("{", '{ "DicomTlsMinimumProtocolVersion" : 2,', 1), TLS), text
    )
    assert "it calls far inside TLS: with the certificate of config.tls" in said[-1]
    assert "sends to old goes on in clear" in said[-2]
    weak = text.replace("{", '{ "DicomTlsMinimumProtocolVersion" : 2,', 1)
    assert "TLS older than 1.2" in guarding.remarks(DEVICE, candidate(weak, TLS), weak)[0]
    closed = FILE.replace('"RemoteAccessAllowed" : true', '"RemoteAccessAllowed" : false')
    assert "only the archive's own host is served" in guarding.remarks(DEVICE, candidate(closed, WEB), closed)[0]


def test_a_path_is_shown_and_a_key_is_not() -> None:
    path = json.dumps({"DicomTlsPrivateKey": "/etc/tls/own.key", "RegisteredUsers": {"smith": SECRET}}, indent=2)
    assert Document(masked(path)).get(("DicomTlsPrivateKey",)) == '"/etc/tls/own.key"'
    assert SECRET not in masked(path)
    inline = json.dumps({"DicomTlsPrivateKey": f"-----BEGIN PRIVATE KEY-----{SECRET}"})
    assert Document(masked(inline)).get(("DicomTlsPrivateKey",)) == f'"{MASK}"'


# -- who may log in ------------------------------------------------------------------------------------

GOOD = {"RegisteredUsers": {"smith": SECRET}}


@pytest.mark.parametrize("users", [{}, {"RegisteredUsers": {}}, {"RegisteredUsers": None}])
def test_where_nobody_is_registered_it_is_refused(users: dict[str, object]) -> None:
    said = unfit({}, "web_auth", text=json.dumps(users))
    assert said.startswith("no user is registered there")
    assert not unfit({}, "tls_only", text=json.dumps(users))


@pytest.mark.parametrize(
    "known", [{"orthanc": "orthanc"}, {"alice": "alicePassword"}, {"smith": "smith"}, {"smith": ""}, {"demo": "demo"}]
)
def test_a_password_that_everybody_knows_is_refused_and_not_repeated(known: dict[str, str]) -> None:
    text = json.dumps({"RegisteredUsers": {"jones": SECRET, **known}})
    said = unfit({}, "web_auth", text=text)
    assert said.startswith("a user in RegisteredUsers has a password that everybody knows")
    assert "smith" not in said and "jones" not in said and SECRET not in said
    assert not unfit({}, "web_auth", text=json.dumps(GOOD))


def test_users_in_a_file_beside_count_where_orthanc_was_started_with_the_folder() -> None:
    beside = {"credentials.json": json.dumps(GOOD)}
    for command in ("/usr/sbin/Orthanc --logdir=/var/log/orthanc /etc/orthanc", "Orthanc /etc/orthanc/ --verbose"):
        assert not unfit(beside, "web_auth", command=command)
    for command in ("Orthanc /etc/orthanc/orthanc.json", ""):
        assert unfit(beside, "web_auth", command=command).startswith("no user")
    both = {**beside, "more.json": '{"AuthenticationEnabled" : false}'}
    assert "AuthenticationEnabled stands in /etc/orthanc/more.json" in unfit(both, "web_auth")


# -- what it speaks TLS with ---------------------------------------------------------------------------

PATHS = TlsFiles(certificate="/etc/tls/own.crt", key="/etc/tls/own.key", trusted="/etc/tls/peers.crt")


def faults(own: Made | None, key: Made | None, *trusted: Made) -> tuple[str, ...]:
    public = key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() if key else ""
    return certificates.faults(
        PATHS,
        certificate=own.certificate_pem.read_text() if own else "",
        public_key=public,
        trusted="".join(one.certificate_pem.read_text() for one in trusted),
        now=datetime.now(UTC),
    )


def test_what_is_wrong_with_its_files_is_said(tmp_path: Path) -> None:
    own, other = make(tmp_path, "own"), make(tmp_path, "other")
    old, early = make(tmp_path, "old", days=(-9, -2)), make(tmp_path, "early", days=(2, 9))
    assert faults(own, own, other) == faults(own, own, old, other) == ()
    assert faults(own, other, other) == (
        "the private key in /etc/tls/own.key does not belong to the certificate in /etc/tls/own.crt",
    )
    assert [said.rpartition(" ended on ")[0] for said in faults(old, old, other)] == [
        "the certificate in /etc/tls/own.crt"
    ]
    assert "counts from" in faults(early, early, other)[0]
    assert faults(own, own, old)[0].startswith("no certificate in /etc/tls/peers.crt counts today: the first one ended")
    assert [said.split(" in ")[0] for said in faults(None, None)] == [
        "no certificate (PEM) can be read",
        "openssl there reads no private key without a passphrase",
        "no certificate (PEM) can be read",
    ]
