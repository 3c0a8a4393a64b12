"""Devices, and how to log in to them, as the inventory describes them."""

from __future__ import annotations

from pydantic import SecretStr

from remediate.model.base import Name, Port, Value


class Guard(Value):
    """Where on a device the guard stands: the interfaces that face outside, and those by which a VPN comes in.

    ``boot``: a start-up file of somebody's own there, an absolute path, that loads the guard; "" where the device has
    a start-up that we know.
    """

    interface: tuple[str, ...]
    vpn: tuple[str, ...] = ()
    boot: str = ""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Each interface with the inventory's key for it."""
        keys = (("guard.interface", self.interface), ("guard.vpn", self.vpn))
        return tuple((name, key) for key, names in keys for name in names)


#: This machine, where a device is logged in to from.
LOCAL = "local"


class TlsFiles(Value):
    """Of an archive or a front, in PEM, as absolute paths on its host.

    ``trusted``: who signs the certificates of its peers; None: none is asked for.
    """

    certificate: str
    key: str
    trusted: str | None = None


class ConfigFile(Value):
    """The file that configures an archive or a front: an absolute path there, and how it is made to read it again.

    ``path``: of an archive that has an LDAP directory in its place, the name of its entry. ``restart``: a command line
    for the shell of that host, run as root; "" for an archive that looks at its file by itself. ``ports``: on which it
    listens, ``dicom_ports`` those of them for associations. ``fronts``: of a front, each of its ports → the archive in
    whose place it answers there; {} of an archive. ``users``: a file of those who may come in by it.
    """

    path: str
    restart: str
    ports: tuple[Port, ...]
    dicom_ports: tuple[Port, ...]
    tls: TlsFiles | None = None
    users: str | None = None
    fronts: dict[Port, Name] = {}


class Device(Value):
    """Anything that takes configuration. How to log in to it is in its Nornir host, never here.

    ``config``: of an archive that is configured itself, or of a front; its ``guard`` stands nowhere. ``management``:
    from where it must be possible to log in after a change: LOCAL, and vantages with an SSH server. ``ha``: the host
    names of the units that may answer under its address; () where there is only one.
    """

    name: Name
    platform: str
    guard: Guard
    config: ConfigFile | None = None
    management: tuple[str, ...] = (LOCAL,)
    ha: tuple[str, ...] = ()


class Login(Value):
    """How to log in to a device over SSH. Paths are absolute; without ``key`` the agent and ~/.ssh are asked.

    ``enable``: the secret for privileged mode, where a device asks for one; None: the login's own password is tried.
    Never part of a plan or a record.
    """

    host: str
    port: Port = 22
    username: str
    password: SecretStr | None = None
    key: str | None = None
    known_hosts: str
    enable: SecretStr | None = None
