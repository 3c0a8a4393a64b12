"""``tls_only`` on a front: stunnel, before an Orthanc that goes on speaking DICOM in clear, on the real site."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.lab.real import LabSite, hosts
from remediate.lab.real.files import ETC
from tests.e2e.conftest import User, killed_at
from tests.e2e.test_tls_and_web import Papers, left_on_host, papers, play
from tests.vantages.certificates import Made

__all__ = ["papers"]
NEEDED = pytest.mark.skipif(shutil.which("stunnel") is None, reason="needs stunnel: apt-get install stunnel4")
pytestmark = [pytest.mark.real, pytest.mark.timeout(300), NEEDED]

PORT = 2762
FOLDER = f"{ETC}/stunnel"
FILE, PID = f"{FOLDER}/pacs.conf", f"{FOLDER}/pid"
BY_HAND = f"""\
; by hand: ask the radiologists before changing anything here
pid = {PID}
syslog = no
output = /var/log/stunnel.log

[dicom inside TLS]
accept  = {PORT}
connect = 127.0.0.1:104
cert    = {FOLDER}/own.crt
key     = {FOLDER}/own.key
  ; verifyChain = yes   the vendor said no
sslVersionMin = TLSv1
TIMEOUTclose  = 0

[elsewhere]
client = yes
accept = 127.0.0.1:2575
connect = 192.0.2.40:2575
"""
START = f"setsid --fork stunnel {FILE} </dev/null >/dev/null 2>&1"
RESTART = f"kill $(cat {PID}); while [ -e {PID} ]; do sleep 0.05; done; {START}"
RELOAD = f"kill -HUP $(cat {PID})"


@dataclass
class Front:
    user: User
    site: LabSite
    papers: Papers
    where: Path

    def echo(self, shown: Made | None, *, host: str = "clinic", port: int = PORT) -> bool:
        """Inside TLS; ``shown``: with that certificate, None: with none."""
        i = self.site.layout
        tls = ["+tls", str(shown.key_pem), str(shown.certificate_pem)] if shown else ["+tla"]
        to = [str(i.published if host == "internet" else i.pacs), str(port)]
        return not self.site.exec(host, ["echoscu", "-to", "5", *tls, "-ic", "-aec", i.ae_title, *to]).returncode

    def in_clear(self, host: str) -> bool:
        i = self.site.layout
        to = (i.published, i.outside_dicom_port) if host == "internet" else (i.pacs, i.dicom_port)
        return not self.site.exec(host, ["echoscu", "-to", "5", "-aec", i.ae_title, *map(str, to)]).returncode

    def text(self) -> str:
        return self.site.must("pacs", ["cat", FILE])

    def everybody_is_served(self) -> bool:
        return all(self.echo(None, host=host) for host in ("clinic", "internet"))

    def only_who_has_a_certificate(self) -> bool:
        clinic, stranger = self.papers.clinic, self.papers.stranger
        refused = not self.echo(None) and not self.echo(stranger) and not self.echo(None, host="internet")
        return refused and self.echo(clinic)

    def run(self, *controls: str, command: str = "run") -> list[str]:
        return [command, play(self.user, *controls), *self.user.inventory(self.where), "--format", "json"]

    def publish(self, plain: bool) -> None:
        """The firewall leads the front's port to the archive's host, and no other but, where ``plain``, the one in
        clear."""
        i = self.site.layout
        ports = {PORT: PORT} | ({i.outside_dicom_port: i.dicom_port} if plain else {})
        nat = "".join(
            f"add rule ip nat prerouting ip daddr {i.published} tcp dport {seen} dnat to {i.pacs}:{own}\n"
            for seen, own in ports.items()
        )
        through = (
            f"insert rule inet filter forward iifname {i.wan_interface} ip daddr {i.pacs} tcp dport {PORT} accept\n"
        )
        self.site.must("fw", ["nft", "-f", "-"], input=f"flush chain ip nat prerouting\n{nat}{through}")


@pytest.fixture(params=[RESTART])
def front(user: User, papers: Papers, request: pytest.FixtureRequest) -> Iterator[Front]:
    site, i = user.site, user.site.layout
    site.must("pacs", ["mkdir", "-p", FOLDER])
    for name, path in (
        ("own.crt", papers.archive.certificate_pem),
        ("own.key", papers.archive.key_pem),
        ("peers.crt", papers.authority.certificate_pem),
    ):
        site.must("pacs", ["tee", f"{FOLDER}/{name}"], input=path.read_text())
    site.must("pacs", ["tee", FILE], input=BY_HAND.replace(":104", f":{i.dicom_port}"))
    where = user.folder / "inventory"
    shutil.copytree(site.inventory, where)
    found: dict[str, Any] = yaml.safe_load((where / "hosts.yaml").read_text())
    data = found["pacs-north"]["data"]
    data["services"].append({"kind": "dicom_tls", "port": PORT, "front": "tls-north"})
    data["access"]["peers"][0]["tls"] = True
    tls = {"certificate": f"{FOLDER}/own.crt", "key": f"{FOLDER}/own.key", "trusted": f"{FOLDER}/peers.crt"}
    found["tls-north"] = {
        "hostname": i.management_address("pacs"),
        "username": "root",
        "platform": "stunnel",
        "groups": ["fronts"],
        "data": {"config": {"file": FILE, "restart": request.param, "tls": tls}},
    }
    shown = papers.clinic.shown
    found["clinic"]["data"]["client_certificate"] = {"certificate": shown.certificate, "key": shown.key}
    (where / "hosts.yaml").write_text(yaml.safe_dump(found))
    site.must("pacs", ["sh", "-c", START])
    hosts.until(lambda: site.listening("pacs", PORT), what="stunnel")
    yield Front(user, site, papers, where)
    site.must("pacs", ["sh", "-c", f"kill $(cat {PID}); while [ -e {PID} ]; do sleep 0.05; done; rm -r {FOLDER}"])


def test_only_with_a_certificate_and_back_to_the_byte(front: Front) -> None:
    """The port in clear is closed from outside already, and stays as it is inside."""
    user = front.user
    front.publish(plain=False)
    before = front.text()
    assert front.everybody_is_served() and front.in_clear("clinic")
    plan = user.do("plan", *front.run("tls_only")[1:-2])
    assert plan.status == 0, plan.err
    said = " ".join(plan.out.split())
    assert "the archive's own port in clear is not the front's to close: inside it goes on serving" in said
    assert f"refused: TLS without such a certificate, on port {PORT}" in said
    assert "untouched: DICOM in clear, where the archive itself answers" in said
    done = user.do(*front.run("tls_only"))
    assert done.status == 0, done.err
    assert front.only_who_has_a_certificate() and front.in_clear("clinic")
    assert front.text() == before.replace("sslVersionMin = TLSv1\n", "sslVersionMin = TLSv1.2\n").replace(
        "TIMEOUTclose  = 0\n",
        f"TIMEOUTclose  = 0\nCAfile = {FOLDER}/peers.crt\nrequireCert = yes\nverifyChain = yes\n",
    )
    assert left_on_host(front.site) == ""
    (pushed,) = [entry for entry in user.entries() if entry.kind == "pushed"]
    assert pushed.data["device"] == "tls-north" and pushed.data["down"] >= 0

    again = user.do(*front.run("tls_only"))
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err
    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert front.text() == before and front.everybody_is_served()


@pytest.mark.parametrize("front", [RELOAD], indirect=True)
def test_the_port_in_clear_must_be_closed_beside_it(front: Front) -> None:
    """Alone it is seen open from outside, and all is taken back; with acl in the same play it is closed there."""
    user, site = front.user, front.site
    front.publish(plain=True)
    before = front.text()
    alone = user.do(*front.run("tls_only"))
    assert alone.status == 4, alone.err
    assert f"{site.layout.published}:{site.layout.outside_dicom_port}: reachable" in alone.out
    assert front.text() == before and front.everybody_is_served() and front.in_clear("internet")

    both = user.do(*front.run("acl", "tls_only"))
    assert both.status == 0, both.err
    assert front.only_who_has_a_certificate()
    assert front.in_clear("clinic") and not front.in_clear("internet")
    back = user.do("rollback", both.json["change"], *user.inventory(front.where), "--format", "json")
    assert back.status == 0, back.err
    assert front.text() == before and front.everybody_is_served() and front.in_clear("internet")


def test_what_stunnel_would_not_start_with_is_refused_before_the_swap(front: Front) -> None:
    """Somebody's own service beside it names a file that is not there; what runs goes on."""
    front.publish(plain=False)
    broken = front.text() + f"[new]\naccept = 2763\nconnect = 104\ncert = {FOLDER}/none.crt\n"
    front.site.must("pacs", ["tee", FILE], input=broken)
    done = front.user.do(*front.run("tls_only"))
    assert done.status == 2, done.err
    assert "the device says: [!] SSL_CTX_use_certificate_chain_file" in done.out
    assert "Service [new]: Failed to initialize TLS context" in done.out
    assert "pushing" not in front.user.kinds()
    assert front.text() == broken and front.everybody_is_served()
    assert left_on_host(front.site) == ""


@pytest.mark.parametrize("at", killed_at("pushing", "confirming"))
def test_killed_at_an_entry_and_resumed(front: Front, at: str) -> None:
    user = front.user
    front.publish(plain=False)
    before = front.text()
    process = user.start(*front.run("tls_only"))
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    assert kinds[-1] == "ended"
    if resumed.status == 4:  # killed before the push itself
        assert at in ("arming", "pushing") and front.text() == before and front.everybody_is_served()
    else:
        assert resumed.status == 0, resumed.err
        assert front.only_who_has_a_certificate()
    assert left_on_host(front.site) == ""
