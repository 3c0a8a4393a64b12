"""The controls ``tls_only`` and ``web_auth`` on the real site's Orthanc: each for itself, and with ``ae_title``."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from remediate.lab.real import LabSite
from remediate.lab.real.files import ETC
from tests.e2e.conftest import User, forms
from tests.vantages.certificates import Made, make

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

FILE = f"{ETC}/orthanc.json"
TLS = f"{ETC}/tls"
PASSWORD = "Zugang-zur-Radiologie-27"
BY_HAND = "// by hand: ask the radiologists before changing anything here\n"


@dataclass
class Papers:
    """Who may speak TLS with the archive. ``stranger``: of another authority."""

    authority: Made
    archive: Made
    clinic: Made
    stranger: Made


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    authority = make(folder, "authority")
    archive, clinic = (make(folder, name, issuer=authority) for name in ("archive", "clinic"))
    return Papers(authority, archive, clinic, make(folder, "stranger"))


@pytest.fixture
def inventory(user: User, papers: Papers) -> Iterator[Path]:
    """The lab's, with what the controls need; the archive's host has its files, and a user that somebody registered."""
    site = user.site
    site.must("pacs", ["mkdir", "-p", TLS])
    for name, path in (
        ("own.crt", papers.archive.certificate_pem),
        ("own.key", papers.archive.key_pem),
        ("peers.crt", papers.authority.certificate_pem),
    ):
        site.must("pacs", ["tee", f"{TLS}/{name}"], input=path.read_text())
    where = user.folder / "inventory"
    shutil.copytree(site.inventory, where)
    hosts = yaml.safe_load((where / "hosts.yaml").read_text())
    pacs = hosts["pacs-north"]["data"]
    pacs["config"]["tls"] = {"certificate": f"{TLS}/own.crt", "key": f"{TLS}/own.key", "trusted": f"{TLS}/peers.crt"}
    pacs["access"]["peers"][0]["tls"] = True
    shown = papers.clinic.shown
    hosts["clinic"]["data"]["client_certificate"] = {"certificate": shown.certificate, "key": shown.key}
    (where / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    yield where
    site.must("pacs", ["rm", "-r", TLS])


@pytest.fixture
def by_hand(fresh_site: LabSite) -> str:
    """The archive's file with a comment and a user that somebody wrote into it; neither counts before a restart."""
    text = fresh_site.must("pacs", ["cat", FILE])
    text = BY_HAND + text.replace(
        '"DicomPort"', f'"RegisteredUsers" : {{ "mrs.smith" : "{PASSWORD}" }},\n  "DicomPort"'
    )
    fresh_site.must("pacs", ["tee", FILE], input=text)
    return text


def play(user: User, *controls: str) -> str:
    path = user.folder / f"{'_'.join(controls)}.yaml"
    tasks: list[dict[str, object]] = [{"name": f"Apply {name}", "apply": name} for name in controls]
    tasks.append({"name": "Look", "verify": {"from": ["internet", "clinic"]}})
    path.write_text(
        yaml.safe_dump([{"name": "Close it", "hosts": "pacs", "vars": {"revert_in": "4m"}, "tasks": tasks}])
    )
    return str(path)


def echo(site: LabSite, shown: Made | None = None, *, title: str = "ANYBODY", host: str = "clinic") -> bool:
    """``shown``: inside TLS, with that certificate; None: in clear."""
    i = site.layout
    to = (i.published, i.outside_dicom_port) if host == "internet" else (i.pacs, i.dicom_port)
    tls = ["+tls", str(shown.key_pem), str(shown.certificate_pem), "-ic"] if shown else []
    argv = ["echoscu", "-to", "5", *tls, "-aet", title, "-aec", i.ae_title, *map(str, to)]
    return not site.exec(host, argv).returncode


def echo_without_certificate(site: LabSite) -> bool:
    i = site.layout
    argv = ["echoscu", "-to", "5", "+tla", "-ic", "-aec", i.ae_title, str(i.pacs), str(i.dicom_port)]
    return not site.exec("clinic", argv).returncode


def web(site: LabSite, password: str | None = None) -> int:
    """The status of its front door, from the clinic."""
    i = site.layout
    given = base64.b64encode(f"mrs.smith:{password}".encode()).decode()

    def ask() -> int:
        connection = http.client.HTTPConnection(str(i.pacs), i.web_port, timeout=60)
        try:
            connection.request("GET", "/system", headers={"Authorization": f"Basic {given}"} if password else {})
            return connection.getresponse().status
        finally:
            connection.close()

    return site.inside("clinic", ask)


def left_on_host(site: LabSite) -> str:
    find = f"ls -A /var/lib/remediate; find {ETC} -name '*.rmd-*'"
    return site.exec("pacs", ["sh", "-c", find]).stdout


def test_dicom_only_inside_tls_and_back_to_the_byte(user: User, inventory: Path, by_hand: str, papers: Papers) -> None:
    site, book, where = user.site, play(user, "tls_only"), user.inventory(inventory)
    assert echo(site) and echo(site, host="internet")
    plan = user.do("plan", book, *where)
    assert plan.status == 0, plan.err
    said = " ".join(plan.out.split())
    assert "1 refused inside without certificate or password" in said
    assert "not given by tls_only: tls_only asks for a certificate and not for address" in said
    assert "what Orthanc itself sends to clinic goes on in clear" in said
    done = user.do("run", book, *where, "--format", "json")
    assert done.status == 0, done.err
    assert not echo(site) and not echo(site, host="internet"), "in clear"
    assert not echo_without_certificate(site) and not echo(site, papers.stranger)
    assert echo(site, papers.clinic)
    assert web(site) == 200, "its web side is as before"
    assert BY_HAND in site.must("pacs", ["cat", FILE])
    assert left_on_host(site) == ""

    again = user.do("run", book, *where, "--format", "json")
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err

    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert site.must("pacs", ["cat", FILE]) == by_hand
    assert echo(site)


def test_a_password_that_is_nowhere_else_and_controls_that_leave_one_another_alone(
    user: User, inventory: Path, by_hand: str, papers: Papers
) -> None:
    """First web_auth alone, then all three in one push, in the same file; both are taken back one by one."""
    site, where, title = user.site, user.inventory(inventory), user.site.layout.clinic_ae_title
    assert web(site) == 200
    plan = user.do("plan", play(user, "web_auth"), *where, "--out", "web.json")
    assert plan.status == 0, plan.err
    assert "passwords pass in clear there" in " ".join(plan.out.split())
    one = user.do("run", "web.json", *where, "--diff", "--format", "json")
    assert one.status == 0, one.err
    assert (web(site), web(site, "guessed"), web(site, PASSWORD)) == (401, 401, 200)
    assert echo(site), "DICOM is as before"
    told = user.do("record", "export", one.json["change"], "--format", "markdown")
    assert "asks for a user and a password: whoever has or guesses one gets in" in " ".join(told.out.split())
    alone = site.must("pacs", ["cat", FILE])

    all_three = play(user, "ae_title", "tls_only", "web_auth")
    both = user.do("run", all_three, *where, "--format", "json")
    assert both.status == 0, both.err
    assert user.kinds().count("pushing") == 1
    assert echo(site, papers.clinic, title=title)
    assert not echo(site, papers.clinic), "a title that it does not know"
    assert not echo(site, title=title) and not echo(site, papers.stranger, title=title)
    assert (web(site), web(site, PASSWORD)) == (401, 200)
    again = user.do("run", all_three, *where, "--format", "json")
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err

    back = user.do("rollback", both.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert site.must("pacs", ["cat", FILE]) == alone
    assert echo(site) and web(site) == 401, "what the change before had done stays"
    last = user.do("rollback", one.json["change"], "--format", "json")
    assert last.status == 0, last.err
    assert site.must("pacs", ["cat", FILE]) == by_hand
    assert web(site) == 200

    written = [text for done in (plan, one, told, both, again, back, last) for text in (done.out, done.err)]
    kept = [path.read_bytes() for path in user.folder.rglob("*") if path.is_file()]
    for form in forms(PASSWORD):
        assert all(form not in text.encode() for text in written)
        assert all(form not in content for content in kept)
    assert left_on_host(site) == ""


def test_files_that_do_not_do_are_refused_at_plan_time(
    user: User, inventory: Path, fresh_site: LabSite, papers: Papers
) -> None:
    """Nobody is registered, the certificate is another key's, and whom to trust is not there."""
    fresh_site.must("pacs", ["tee", f"{TLS}/own.crt"], input=papers.clinic.certificate_pem.read_text())
    fresh_site.must("pacs", ["rm", f"{TLS}/peers.crt"])
    before = fresh_site.must("pacs", ["cat", FILE])
    done = user.do("plan", play(user, "tls_only", "web_auth"), *user.inventory(inventory))
    assert done.status == 2
    said = " ".join(done.err.split())
    assert f"the private key in {TLS}/own.key does not belong to the certificate in {TLS}/own.crt" in said
    assert f"no certificate (PEM) can be read in {TLS}/peers.crt (config.tls.trusted)" in said
    assert "no user is registered there (RegisteredUsers)" in said
    assert fresh_site.must("pacs", ["cat", FILE]) == before and left_on_host(fresh_site) == ""


#: The entries on both sides of what is done on the host; `make test-faults` takes all.
TOUCHED = ("pushing", "confirming")
OTHERS = (
    "planned",
    "preflight",
    "evidence",
    "live peers",
    "baseline",
    "arming",
    "pushed",
    "all pushed",
    "looked",
    "device confirmed",
)
ENTRIES = (*TOUCHED, *OTHERS) if os.environ.get("REMEDIATE_FAULTS") == "all" else TOUCHED


@pytest.mark.parametrize("at", ENTRIES)
def test_killed_at_an_entry_and_resumed(user: User, inventory: Path, by_hand: str, papers: Papers, at: str) -> None:
    book = play(user, "tls_only", "web_auth")
    process = user.start("run", book, *user.inventory(inventory), "--format", "json")
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    site = user.site
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    assert kinds[-1] == "ended"
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert site.must("pacs", ["cat", FILE]) == by_hand
        assert echo(site) and web(site) == 200
    else:
        assert resumed.status == 0, resumed.err
        assert not echo(site) and echo(site, papers.clinic)
        assert (web(site), web(site, PASSWORD)) == (401, 200)
    assert left_on_host(site) == ""
