"""What a right inventory becomes: the typed site, Nornir's inventory, selections."""

from __future__ import annotations

import getpass
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nornir import InitNornir
from nornir.core.filter import F
from nornir.core.inventory import Inventory
from nornir.plugins.inventory.simple import SimpleInventory

from remediate.errors import InventoryError, UsageError
from remediate.inventory import Loaded, RemediateInventory, load, site_of
from remediate.model.site import LocalVia, Role, ServiceKind, SshVia, Zone

EXAMPLE = Path(__file__).parents[2] / "inventory"

DESIGN = """\
pacs-north:
  hostname: 10.10.0.5
  platform: orthanc
  groups: [pacs, north]
  data:
    ae_title: ORTHANC
    addresses: {inside: 10.10.0.5, outside: 203.0.113.20}
    services: [{kind: dicom, port: 104}, {kind: dicomweb, port: 8042}]
    protected_by: [fw-north]
    access:
      peers:
        - {name: ct-1, address: 10.20.0.10, ae_title: CLINICMOD, roles: [store, query, retrieve], listens: {port: 104}}
        - {name: readers, network: 10.99.0.0/24, via: vpn, roles: [query, web]}
      destinations:
        - {name: teleradiology, address: 192.0.2.40, port: 104}
fw-north: {hostname: 10.99.99.2, platform: linux_nftables, groups: [firewalls, north], data: {guard: {interface: wan, vpn: tun0}, management: [local]}}
internet: {groups: [vantages], data: {zone: outside, via: {ssh: probe@vps.example}, canaries: [{address: 203.0.113.1, port: 443}]}}
clinic:   {groups: [vantages], data: {zone: inside, peer: ct-1, via: {ssh: probe@10.20.0.10}}}
"""  # noqa: E501 - as the design writes it


def write(folder: Path, hosts: str, groups: str = "north: {}\n", defaults: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "hosts.yaml").write_text(hosts)
    (folder / "groups.yaml").write_text(groups)
    if defaults is not None:
        (folder / "defaults.yaml").write_text(defaults)
    return folder


def vantage(data: str) -> str:
    return DESIGN + f"spare: {{groups: [vantages], data: {data}}}\n"


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    return write(tmp_path / "site", DESIGN)


def test_the_inventory_of_the_design(site_folder: Path) -> None:
    site = load(site_folder, platforms=["linux_nftables"]).site
    pacs = site.pacs["pacs-north"]
    assert (pacs.ae_title, pacs.platform, pacs.protected_by) == ("ORTHANC", "orthanc", ("fw-north",))
    assert [(s.kind, s.port) for s in pacs.services] == [(ServiceKind.DICOM, 104), (ServiceKind.DICOMWEB, 8042)]
    assert [str(p.address) for p in pacs.addresses.seen_from(Zone.OUTSIDE)] == ["203.0.113.20"]
    ct, readers = pacs.access.peers
    assert ct.roles == (Role.STORE, Role.QUERY, Role.RETRIEVE)
    assert ct.listens is not None and ct.listens.port == 104
    assert (readers.source, readers.via, readers.ae_title) == (ip_network("10.99.0.0/24"), "vpn", None)
    assert [(d.name, str(d.address), d.port) for d in pacs.access.destinations] == [
        ("teleradiology", "192.0.2.40", 104)
    ]
    device, login = site.devices["fw-north"], site.logins["fw-north"]
    assert (device.platform, device.guard.interface, device.management) == ("linux_nftables", ("wan",), ("local",))
    assert device.guard.vpn == ("tun0",)
    assert (login.host, login.port, login.username, login.password) == ("10.99.99.2", 22, getpass.getuser(), None)
    assert login.known_hosts == str(Path.home() / ".ssh" / "known_hosts")
    assert site.vantages["internet"].via == SshVia(host="vps.example", user="probe", known_hosts=login.known_hosts)
    assert (site.vantages["clinic"].zone, site.vantages["clinic"].peer) == (Zone.INSIDE, "ct-1")
    assert set(site.scope().addresses or ()) == {ip_address(a) for a in ("10.10.0.5", "203.0.113.20", "203.0.113.1")}


def test_the_path_may_be_the_file_and_the_digest_is_over_the_bytes(site_folder: Path) -> None:
    (site_folder / "groups.yaml").write_text("north: {}  # a\n")
    first = load(site_folder)
    assert load(site_folder / "hosts.yaml").digest == first.digest
    (site_folder / "groups.yaml").write_text("north: {}  # b\n")
    assert load(site_folder).digest != first.digest


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("10.0.0.1", {"10.0.0.1": 104}),
        ('[10.0.0.1, "2001:db8::1"]', {"10.0.0.1": 104, "2001:db8::1": 104}),
        ("{address: 10.0.0.1, ports: {104: 11112}}", {"10.0.0.1": 11112}),
        ("[{address: 10.0.0.1, ports: {104: 11112}}, 10.0.0.2]", {"10.0.0.1": 11112, "10.0.0.2": 104}),
    ],
)
def test_the_forms_of_addresses(tmp_path: Path, written: str, seen: dict[str, int]) -> None:
    site = load(write(tmp_path, DESIGN.replace("outside: 203.0.113.20", f"outside: {written}"))).site
    pacs = site.pacs["pacs-north"]
    assert {str(p.address): p.port_of(pacs.services[0]) for p in pacs.addresses.outside} == seen


def test_two_services_cannot_be_seen_on_one_port(tmp_path: Path) -> None:
    hosts = DESIGN.replace("outside: 203.0.113.20", "outside: {address: 203.0.113.20, ports: {104: 8042}}")
    with pytest.raises(InventoryError, match="ports: 104 and 8042 are both seen on port 8042"):
        load(write(tmp_path, hosts))


def test_a_pacs_without_addresses_is_where_nornir_would_look_for_it(tmp_path: Path) -> None:
    hosts = DESIGN.replace("    addresses: {inside: 10.10.0.5, outside: 203.0.113.20}\n", "")
    addresses = load(write(tmp_path, hosts)).site.pacs["pacs-north"].addresses
    assert ([str(p.address) for p in addresses.inside], addresses.outside) == (["10.10.0.5"], ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{zone: inside}", LocalVia()),
        ("{zone: inside, via: local}", LocalVia()),
        ("{zone: inside, via: {local: }}", LocalVia()),
        ("{zone: inside, via: {local: {source: 10.20.0.10}}}", LocalVia(source=ip_address("10.20.0.10"))),
        ("{zone: inside, via: {ssh: a@b.example}}", SshVia(host="b.example", user="a", known_hosts="/k")),
        ("{zone: inside, via: {ssh: 'a@b:2222'}}", SshVia(host="b", port=2222, user="a", known_hosts="/k")),
        ("{zone: inside, via: {ssh: 'a@[::1]:2222'}}", SshVia(host="::1", port=2222, user="a", known_hosts="/k")),
        ("{zone: inside, via: {ssh: 'a@[::1]'}}", SshVia(host="::1", user="a", known_hosts="/k")),
        ("{zone: inside, via: {ssh: 'a@2001:db8::1'}}", SshVia(host="2001:db8::1", user="a", known_hosts="/k")),
        ("{zone: inside, via: {ssh: a@b}, ssh: {key: /id}}", None),
    ],
)
def test_the_forms_of_via(tmp_path: Path, data: str, expected: LocalVia | SshVia | None) -> None:
    found = load(write(tmp_path, vantage(data), defaults="data: {ssh: {known_hosts: /k}}")).site.vantages["spare"].via
    if expected is None:  # data is inherited key by key, as in Nornir: the host's own `ssh` replaces all of it
        home = str(Path.home() / ".ssh" / "known_hosts")
        expected = SshVia(host="b", user="a", key="/id", known_hosts=home)
    assert found == expected


def test_logins_come_from_nornirs_attributes_and_paths_start_at_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FW_PASSWORD", "from-the-environment")
    monkeypatch.setenv("HOME", "/home/operator")
    monkeypatch.chdir(tmp_path)
    hosts = DESIGN.replace("firewalls, north]", "north]").replace("hostname: 10.99.99.2", "hostname: fw.example")
    groups = (
        "north: {groups: [edge], port: 2222}\nedge: {username: netops, data: {ssh: {key: keys/id, known_hosts: ~/kh}}}"
    )
    write(tmp_path / "site", hosts, groups, "username: nobody\npassword: env:FW_PASSWORD\ndata: {ssh: {key: /never}}")
    login = load(Path("site")).site.logins["fw-north"]
    assert (login.host, login.port, login.username) == ("fw.example", 2222, "netops")
    assert (login.key, login.known_hosts) == (str(tmp_path / "site" / "keys" / "id"), "/home/operator/kh")
    assert login.password is not None
    assert login.password.get_secret_value() == "from-the-environment"


@pytest.mark.parametrize(("written", "secret"), [("plain", "plain"), ("file:pw", "from a file"), ("env:FW", "x y")])
def test_passwords_and_what_refers_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, secret: str
) -> None:
    monkeypatch.setenv("FW", "x y")
    (tmp_path / "pw").write_text("from a file\n")
    options = f"connection_options: {{netmiko: {{password: {written}, extras: {{fast_cli: true}}}}}}"
    loaded = load(write(tmp_path, DESIGN, defaults=f"password: {written}\n{options}"))
    password = loaded.site.logins["fw-north"].password
    assert password is not None and password.get_secret_value() == secret
    assert loaded.nornir.hosts["fw-north"].password == secret
    found = loaded.nornir.hosts["fw-north"].get_connection_parameters("netmiko")
    assert (found.password, found.extras) == (secret, {"fast_cli": True})
    assert secret not in repr(loaded)


def test_anchors_and_merges_are_read_as_yaml_means_them(tmp_path: Path) -> None:
    hosts = DESIGN.replace("fw-north: {hostname", "fw-north: &fw {hostname").replace("[fw-north]", "[fw-north, fw-2]")
    site = load(write(tmp_path, hosts + "fw-2: {<<: *fw, hostname: 10.99.99.9}\n")).site
    assert site.logins["fw-2"].host == "10.99.99.9"
    assert site.devices["fw-2"].guard.interface == ("wan",)


def test_the_example_loads_and_is_the_readers_own_to_filter() -> None:
    loaded = load(EXAMPLE, platforms=["linux_nftables"])
    assert loaded.select("pacs") == ("pacs-north", "pacs-south")
    assert all(p.address.is_private for pacs in loaded.site.pacs.values() for p in pacs.addresses.outside)


def test_nornir_itself_loads_it_by_the_plugins_name(site_folder: Path) -> None:
    nornir = InitNornir(
        inventory={"plugin": "RemediateInventory", "options": {"path": str(EXAMPLE)}},
        runner={"plugin": "serial"},
        logging={"enabled": False},
    )
    assert list(nornir.filter(F(groups__contains="south") & F(has_parent_group="pacs")).inventory.hosts) == [
        "pacs-south"
    ]
    assert list(nornir.filter(F(extra__ward="South")).inventory.hosts) == ["pacs-south", "fw-south"]
    assert nornir.inventory.hosts["pacs-north"]["services"][0] == {"kind": "dicom", "port": 104}
    assert site_of(nornir.filter(name="clinic").inventory) == load(EXAMPLE).site


def test_site_of_another_plugins_inventory_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="RemediateInventory"):
        site_of(Inventory(hosts=RemediateInventory(EXAMPLE).load().hosts))


def test_nornirs_own_plugin_reads_the_same_files_to_the_same_end(site_folder: Path) -> None:
    groups = "north: {}\npacs: {}\nfirewalls: {}\nvantages: {}\n"
    write(site_folder, DESIGN, groups, "port: 830\nusername: u\ndata: {ssh: {key: /id}}")
    ours = load(site_folder).nornir
    theirs = SimpleInventory(*(str(site_folder / f"{n}.yaml") for n in ("hosts", "groups", "defaults"))).load()
    assert ours.dict() == theirs.dict()


LEVELS = 6


@given(
    st.lists(st.lists(st.integers(0, LEVELS), max_size=4, unique=True), min_size=LEVELS, max_size=LEVELS),
    st.lists(st.integers(0, LEVELS - 1), max_size=4, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_inheritance_is_nornirs(
    tmp_path_factory: pytest.TempPathFactory, parents: list[list[int]], own: list[int]
) -> None:
    """Groups with parents among the later ones; each has a user name and a key of its own."""
    groups = {
        f"g{n}": {
            "groups": [f"g{p}" for p in above if n < p < LEVELS],
            "username": f"user{n}",
            "data": {"ssh": {"key": f"/key{n}"}},
        }
        for n, above in enumerate(parents)
    }
    hosts = yaml.safe_load(DESIGN)
    hosts["fw-north"]["groups"] = [*(f"g{n}" for n in own), "firewalls"]
    folder = tmp_path_factory.mktemp("site")
    loaded = load(write(folder, yaml.safe_dump(hosts), yaml.safe_dump({**groups, "north": {}})))
    host = loaded.nornir.hosts["fw-north"]
    assert loaded.groups["fw-north"] == {group.name for group in host.extended_groups()}
    assert loaded.site.logins["fw-north"].username == (host.username or getpass.getuser())
    assert loaded.site.logins["fw-north"].key == host.get("ssh", {}).get("key")


# -- selection ----------------------------------------------------------------------------------------

MANY = DESIGN + "".join(
    f"pacs-{name}: {{groups: [pacs, {group}], hostname: 10.50.0.{n}, "
    f"data: {{ae_title: A{n}, services: [{{kind: dicom, port: 104}}]}}}}\n"
    for n, (name, group) in enumerate([("south", "south"), ("south-2", "south"), ("east", "east")], 1)
)


@pytest.fixture
def many(tmp_path: Path) -> Loaded:
    return load(write(tmp_path, MANY, "north: {}\nsouth: {groups: [far]}\neast: {groups: [far]}\nfar: {}\n"))


@pytest.mark.parametrize(
    ("hosts", "limit", "expected"),
    [
        ("all", None, "north south south-2 east"),
        ("pacs", None, "north south south-2 east"),
        ("pacs-east,pacs-north", None, "north east"),
        ("north:east", None, "north east"),
        ("far", None, "south south-2 east"),
        ("far,!pacs-south", None, "south-2 east"),
        ("!south", None, "north east"),
        ("pacs", "far", "south south-2 east"),
        ("pacs", "pacs-s*", "south south-2"),
        ("pacs-*,!*-2", "!north", "south east"),
        ("s*", None, "south south-2"),
        ("all", "all", "north south south-2 east"),
        (" pacs-east , ", None, "east"),
        ("pacs:&far", None, "south south-2 east"),
        ("pacs,&far,!pacs-south", None, "south-2 east"),
        ("&far:&south", "pacs-*", "south south-2"),
    ],
)
def test_selection(many: Loaded, hosts: str, limit: str | None, expected: str) -> None:
    assert many.select(hosts, limit) == tuple(f"pacs-{name}" for name in expected.split())


@pytest.mark.parametrize(
    ("hosts", "limit", "message"),
    [
        ("firewalls", None, "no PACS is selected by hosts: firewalls"),
        ("north", "south", "no PACS is selected by hosts: north with --limit south"),
        ("all,!all", None, "no PACS is selected"),
        ("pacs-nort", None, "hosts: no host or group is called pacs-nort; did you mean pacs-north?"),
        ("pacs", "pacs-soth", "--limit: no host or group is called pacs-soth; did you mean pacs-south?"),
        ("pacs,!pacs-sout", None, "no host or group is called pacs-sout;"),
        ("pacs,!x*", None, "x* fits no host and no group"),
        ("x?", None, "x? fits no host and no group"),
        ("fw-north", None, "fw-north is a device, not a PACS"),
        ("clinic", None, "clinic is a vantage, not a PACS"),
        ("north:&soth", None, "no host or group is called soth; did you mean south?"),
        ("north:&south", None, "no PACS is selected by hosts: north:&south"),
        ("pacs,!", None, "no host or group is called "),
        ("", None, "the pattern is empty"),
        ("pacs", " , ", "--limit: the pattern is empty"),
    ],
)
def test_an_empty_or_unknown_selection_is_never_a_success(
    many: Loaded, hosts: str, limit: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        many.select(hosts, limit)
    assert message in str(caught.value)


@cache
def the_example() -> Loaded:
    return load(EXAMPLE)


@given(st.text(st.sampled_from("pacsnorth-,:!*?[] "), max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_pattern_selects_something_or_says_why_not(pattern: str) -> None:
    try:
        assert the_example().select(pattern)
    except UsageError:
        return
