"""The control ``web_auth`` on fronts of the real site's archive: nginx before its DICOMweb, and vsftpd beside it."""

from __future__ import annotations

import base64
import ftplib
import http.client
import shutil
import signal
import ssl
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate import controls, platforms
from remediate.change import guarding
from remediate.errors import CommandRejected
from remediate.inventory import load
from remediate.lab.real import LabSite, files, hosts
from remediate.lab.real.files import ETC
from remediate.model.change import Token
from remediate.model.site import Addressing
from remediate.render import Renderer
from tests.e2e.conftest import User, forms, killed_at
from tests.vantages.certificates import make

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

WEB, FTP = f"{ETC}/web", f"{ETC}/ftp"
SITE, MAIN, USERS = f"{WEB}/sites/pacs", f"{WEB}/nginx.conf", f"{WEB}/users"
FILES = f"{FTP}/vsftpd.conf"
#: As the archive's host sees them, and as the outside does.
PORT, OUTSIDE, FTP_PORT = 8043, 8443, 2121
PASSWORD = "Zugang-zur-Radiologie-28"
RELOAD = f"nginx -c {MAIN} -s reload"
#: As an init script would do it.
RESTART = f"""#!/bin/sh
pkill -x vsftpd
while pgrep -x vsftpd >/dev/null; do sleep 0.05; done
setsid --fork vsftpd {FILES} </dev/null >>/var/log/vsftpd.log 2>&1
"""
MAIN_TEXT = f"""\
user www-data;
pid {WEB}/nginx.pid;
events {{}}
http {{
    access_log off;
    autoindex on;
    include {WEB}/sites/*;
}}
"""
FTP_TEXT = f"""\
# by hand: the scanners' room
listen=YES
listen_port={FTP_PORT}
background=NO
local_enable=YES
anon_root={FTP}/open
secure_chroot_dir={FTP}/open/empty
anonymous_enable=Yes
"""


def site_text(layout_port: int) -> str:
    return f"""\
# by hand: ask the radiologists before changing anything here
server {{
    listen {PORT};
    location / {{ proxy_pass http://127.0.0.1:{layout_port}; proxy_set_header Host $http_host; }}
    location /files/ {{ autoindex on; alias {WEB}/files/; }} # for the students
    location /old/ {{
        autoindex  on ;
        alias {WEB}/files/;
    }}
}}
server {{
    listen 127.0.0.1:9000;  # nobody's business
    autoindex on;
    root {WEB}/files;
}}
"""


@pytest.fixture
def fronts(fresh_site: LabSite, tmp_path: Path) -> Iterator[str]:
    """nginx and vsftpd on the archive's host, both published, the archive's own web port no more; nginx's file."""
    site, i = fresh_site, fresh_site.layout
    own = f"tcp dport {i.outside_web_port} dnat to {i.pacs}:{i.web_port}"
    rules = files.nftables_conf(i)
    published = [(OUTSIDE, PORT), (FTP_PORT, FTP_PORT)]
    rules = rules.replace(
        f"ip daddr {i.published} {own}",
        "\n        ".join(
            f"ip daddr {i.published} tcp dport {seen} dnat to {i.pacs}:{port}" for seen, port in published
        ),
    ).replace(f"{i.dicom_port}, {i.web_port} }}", f"{i.dicom_port}, {PORT}, {FTP_PORT} }}")
    assert rules.count("dnat to") == 3
    site.must("fw", ["tee", "/etc/nftables.conf"], input=rules)
    site.load_firewall()
    made = make(tmp_path, "front")
    text = site_text(i.web_port)
    hashed = site.must("pacs", ["openssl", "passwd", "-apr1", PASSWORD]).strip()
    site.must("pacs", ["mkdir", "-p", f"{WEB}/sites", f"{WEB}/files", f"{FTP}/open/pub", f"{FTP}/open/empty"])
    for path, content in (
        (MAIN, MAIN_TEXT),
        (SITE, text),
        (USERS, f"mrs.smith:{hashed}\n"),
        (f"{WEB}/own.crt", made.certificate_pem.read_text()),
        (f"{WEB}/own.key", made.key_pem.read_text()),
        (f"{WEB}/files/study.dcm", "made up\n"),
        (f"{FTP}/open/pub/study.dcm", "made up\n"),
        (FILES, FTP_TEXT),
        (f"{FTP}/restart", RESTART),
    ):
        site.must("pacs", ["tee", path], input=content)
    rights = f"chmod 755 {ETC} {FTP} {FTP}/open {WEB} {WEB}/files; chmod 640 {USERS}; chgrp www-data {USERS}"
    site.must("pacs", ["sh", "-ec", rights])
    hosts.daemon(site.pids["pacs"], ["nginx", "-c", MAIN], log="/var/log/nginx.log")
    site.must("pacs", ["sh", f"{FTP}/restart"])
    for port in (PORT, FTP_PORT):
        hosts.until(partial(site.listening, "pacs", port), what=f"port {port}")
    yield text
    site.exec("pacs", ["sh", "-c", f"nginx -c {MAIN} -s stop; pkill -x vsftpd; rm -rf {WEB} {FTP}"])


@pytest.fixture
def inventory(user: User, fronts: str) -> Path:
    """The lab's, with the two fronts."""
    return described(user, user.folder / "inventory", tls=False)


def described(user: User, where: Path, *, tls: bool) -> Path:
    shutil.copytree(user.site.inventory, where)
    file = where / "hosts.yaml"
    found = yaml.safe_load(file.read_text())
    pacs = found["pacs-north"]
    data, i = pacs["data"], user.site.layout
    data["services"] = [
        {"kind": "dicomweb", "port": i.web_port},
        {"kind": "dicomweb", "port": PORT, "front": "web-north"},
        {"kind": "ftp", "port": FTP_PORT, "front": "ftp-north"},
    ]
    data["addresses"]["outside"] = {"address": str(i.published), "ports": {PORT: OUTSIDE}}
    login = {"hostname": pacs["hostname"], "username": "root", "groups": ["fronts"]}
    web: dict[str, Any] = {"file": SITE, "restart": RELOAD, "users": USERS}
    if tls:
        web["tls"] = {"certificate": f"{WEB}/own.crt", "key": f"{WEB}/own.key"}
    found["web-north"] = login | {"platform": "nginx", "data": {"config": web}}
    config = {"file": FILES, "restart": f"sh {FTP}/restart"}
    found["ftp-north"] = login | {"platform": "vsftpd", "data": {"config": config}}
    file.write_text(yaml.safe_dump(found))
    return where


@pytest.fixture
def book(user: User) -> str:
    path = user.folder / "web_auth.yaml"
    look = {"name": "Look", "verify": {"from": ["internet", "clinic"]}}
    tasks = [{"name": "Ask for a password", "apply": "web_auth"}, look]
    path.write_text(
        yaml.safe_dump([{"name": "Close it", "hosts": "pacs", "vars": {"revert_in": "4m"}, "tasks": tasks}])
    )
    return str(path)


def web(site: LabSite, path: str = "/system", *, host: str = "clinic", known: bool = False, tls: bool = False) -> int:
    """The status that nginx gives. ``known``: with the password."""
    i = site.layout
    to, port = (str(i.published), OUTSIDE) if host == "internet" else (str(i.pacs), PORT)
    given = {"Authorization": f"Basic {base64.b64encode(f'mrs.smith:{PASSWORD}'.encode()).decode()}"} if known else {}

    def ask() -> int:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        secure = http.client.HTTPSConnection(to, port, timeout=60, context=context)
        connection = secure if tls else http.client.HTTPConnection(to, port, timeout=60)
        try:
            connection.request("GET", path, headers=given)
            return connection.getresponse().status
        finally:
            connection.close()

    return site.inside(host, ask)


def anonymous(site: LabSite, host: str = "internet") -> list[str] | None:
    """What anybody may list there; None where nobody is let in."""

    def ask() -> list[str] | None:
        i = site.layout
        with ftplib.FTP(timeout=60) as ftp:  # noqa: S321 -- that it is open is what is asked
            ftp.connect(str(i.published if host == "internet" else i.pacs), FTP_PORT)
            try:
                ftp.login()
            except ftplib.error_perm:
                return None
            return ftp.sendcmd("STAT /pub").splitlines()

    return site.inside(host, ask)


def written(site: LabSite) -> tuple[str, str]:
    return site.must("pacs", ["cat", SITE]), site.must("pacs", ["cat", FILES])


def left_on_host(site: LabSite) -> str:
    find = f"ls -A /var/lib/remediate; find {ETC} -name '*.rmd-*'"
    return site.exec("pacs", ["sh", "-c", find]).stdout


def closed(site: LabSite) -> bool:
    refused = {web(site, path, host=host) for path in ("/system", "/files/") for host in ("internet", "clinic")}
    return refused == {401} and anonymous(site) is None


def is_open(site: LabSite) -> bool:
    seen = {web(site, path, host="internet") for path in ("/system", "/files/", "/old/")}
    return seen == {200} and any("study.dcm" in line for line in anonymous(site) or ())


def test_a_password_at_both_fronts_and_back_to_the_byte(user: User, inventory: Path, fronts: str, book: str) -> None:
    site, where = user.site, user.inventory(inventory)
    assert is_open(site)
    plan = user.do("plan", book, *where)
    assert plan.status == 0, plan.err
    said = " ".join(plan.out.split())
    assert "passwords can be read on the way: line 3 listens without ssl" in said
    assert "passwords may pass in clear there" in said
    done = user.do("run", book, *where, "--diff", "--format", "json")
    assert done.status == 0, done.err
    assert closed(site)
    assert (web(site, known=True), web(site, "/files/", known=True)) == (200, 403), "served, and no folder is listed"
    assert web(site, "/files/study.dcm", known=True) == 200
    assert left_on_host(site) == ""
    text, ftp = written(site)
    assert "# for the students" in text and "listen 127.0.0.1:9000;  # nobody's business\n    autoindex on;" in text
    assert ftp == FTP_TEXT.replace("anonymous_enable=Yes", "anonymous_enable=NO")
    down = done.json["waves"][0]["down"]
    assert down["web-north"] == 0 < down["ftp-north"], "nginx hands its sockets over"

    again = user.do("run", book, *where, "--format", "json")
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err

    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert written(site) == (fronts, FTP_TEXT)
    assert is_open(site)
    kept = [path.read_bytes() for path in user.folder.rglob("*") if path.is_file()]
    hashed = site.must("pacs", ["cat", USERS]).strip().partition(":")[2]
    for form in (*forms(PASSWORD), hashed.encode()):
        assert all(form not in content for content in kept)


def test_https_where_the_inventory_has_a_certificate(user: User, fronts: str, book: str) -> None:
    """And a file that nginx does not take is refused before it is swapped in."""
    site = user.site
    where = described(user, user.folder / "secure", tls=True)
    loaded = load(where, platforms=set(platforms.PLATFORMS)).site
    site.must("pacs", ["tee", FILES], input=f"{FTP_TEXT}foo=NO\n")
    for name, change, words in (
        ("web-north", ("own.crt", "own.txt"), "cannot load certificate"),
        ("ftp-north", ("", ""), "500 OOPS: unrecognised variable in config file: foo"),
    ):
        device, token = loaded.devices[name], Token(f"test.1.{name}")
        with closing(platforms.platform(device.platform).connect(device, loaded.logins[name])) as driver:
            intent = controls.control("web_auth").intent(loaded.pacs["pacs-north"], device, Addressing.REAL)
            running = driver.running_config()
            made = guarding.candidate(device, guarding.sections(device, [intent], running), running, Renderer())
            with pytest.raises(CommandRejected, match="nothing was loaded") as refused:
                driver.load_merge_candidate(made.model_copy(update={"text": made.text.replace(*change)}), token)
            assert words in refused.value.words
    assert written(site) == (fronts, f"{FTP_TEXT}foo=NO\n") and left_on_host(site) == ""
    site.must("pacs", ["tee", FILES], input=FTP_TEXT)

    done = user.do("run", book, *user.inventory(where), "--format", "json")
    assert done.status == 0, done.err
    assert web(site, host="internet") == 400, "HTTP to a port of HTTPS"
    assert (web(site, host="internet", tls=True), web(site, tls=True, known=True)) == (401, 200)
    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert site.must("pacs", ["cat", SITE]) == fronts and is_open(site)


def test_what_does_not_do_is_refused_at_plan_time(user: User, inventory: Path, fronts: str, book: str) -> None:
    """Ways past the password, users that nginx cannot read, another server on the port, and nobody left for FTP."""
    site, where = user.site, user.inventory(inventory)

    def refused(own: str, ftp: str) -> str:
        site.must("pacs", ["tee", SITE], input=own)
        site.must("pacs", ["tee", FILES], input=ftp)
        done = user.do("plan", book, *where)
        assert done.status == 2 and written(site) == (own, ftp)
        return " ".join(done.err.split())

    oops = f"{FILES}: 500 OOPS: unrecognised variable in config file: foo"
    assert oops in refused(fronts, f"{FTP_TEXT}foo=NO\n")
    site.must("pacs", ["tee", f"{WEB}/sites/second"], input=f"server {{ listen {PORT}; server_name second; }}\n")
    site.must("pacs", ["chmod", "600", USERS])
    said = refused(fronts, FTP_TEXT)
    assert f"nginx's workers cannot read {USERS} (config.users)" in said
    assert f"a server in line 1 of {WEB}/sites/second listens there too" in said
    site.must("pacs", ["rm", f"{WEB}/sites/second"])
    site.must("pacs", ["chmod", "640", USERS])
    assert 'unknown directive "nonsense"' in refused(f"{fronts}nonsense;\n", FTP_TEXT)
    past = fronts.replace("autoindex  on ;", "auth_basic off;")
    assert "line 7 lets in without a password (auth_basic off): take it out" in refused(past, FTP_TEXT)
    assert "local_enable is not YES there" in refused(fronts, FTP_TEXT.replace("local_enable=YES", "local_enable=NO"))


# Between the things that are done on the host.
@pytest.mark.parametrize("at", killed_at("pushing", "device confirmed"))
def test_killed_at_an_entry_and_resumed(user: User, inventory: Path, fronts: str, book: str, at: str) -> None:
    process = user.start("run", book, *user.inventory(inventory), "--format", "json")
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    site = user.site
    resumed = user.do("resume", "--format", "json")
    assert user.kinds().count("pushing") <= 2, "nothing is pushed twice"
    assert user.kinds()[-1] == "ended"
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert written(site) == (fronts, FTP_TEXT) and is_open(site)
    else:
        assert resumed.status == 0, resumed.err
        assert closed(site) and web(site, known=True) == 200
    assert left_on_host(site) == ""
