"""A real OpenLDAP directory with one device of dcm4chee-arc in it.

The few attribute types and object classes are those of DICOM PS3.15 H.1 and of dcm4che's own schema, by their names
there; much is left out.
"""

from __future__ import annotations

import os
import shutil

import pytest

from remediate.lab.real import LabSite, hosts

NEEDED = pytest.mark.skipif(
    not all(shutil.which(one, path=f"{os.environ['PATH']}:/usr/sbin") for one in ("slapd", "ldapmodify")),
    reason="needs OpenLDAP: apt-get install slapd ldap-utils",
)
BASE = "cn=Devices,cn=DICOM Configuration,dc=example"
DEVICE = f"dicomDeviceName=dcm4chee-arc,{BASE}"
SOCKET = "/var/run/slapd/ldapi"

_STRING = "EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26"
_NAME = "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
_YES_NO = "EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE"
_PS3_15, _DCM4CHE = "1.2.840.10008.15.0", "1.2.40.0.13.1.15.0"
SCHEMA = f"""\
attributetype ( {_PS3_15}.3.1 NAME 'dicomDeviceName' {_NAME} SINGLE-VALUE )
attributetype ( {_PS3_15}.3.2 NAME 'dicomDescription' {_NAME} SINGLE-VALUE )
attributetype ( {_PS3_15}.3.7 NAME 'dicomAETitle' {_STRING} SINGLE-VALUE )
attributetype ( {_PS3_15}.3.11 NAME 'dicomAssociationAcceptor' {_YES_NO} )
attributetype ( {_PS3_15}.3.23 NAME 'dicomInstalled' {_YES_NO} )
attributetype ( {_DCM4CHE}.3.30 NAME 'dcmAcceptedCallingAETitle' {_STRING} )
attributetype ( {_DCM4CHE}.3.9901 NAME 'dcmOtherAETitle' {_STRING} )
objectclass ( {_PS3_15}.4.2 NAME 'dicomDevice' SUP top STRUCTURAL MUST dicomDeviceName
  MAY ( dicomDescription $ dicomInstalled ) )
objectclass ( {_PS3_15}.4.3 NAME 'dicomNetworkAE' SUP top STRUCTURAL MUST ( dicomAETitle $ dicomAssociationAcceptor )
  MAY ( dicomDescription $ dicomInstalled ) )
objectclass ( {_DCM4CHE}.4.5 NAME 'dcmNetworkAE' SUP top AUXILIARY
  MAY ( dcmAcceptedCallingAETitle $ dcmOtherAETitle ) )
"""


def _ae(title: str, *more: str) -> str:
    lines = [f"dn: dicomAETitle={title},{DEVICE}", "objectClass: dicomNetworkAE", "objectClass: dcmNetworkAE"]
    return "\n".join([*lines, f"dicomAETitle: {title}", "dicomAssociationAcceptor: TRUE", *more]) + "\n\n"


ENTRIES = f"""\
dn: dc=example
objectClass: domain
dc: example

dn: cn=DICOM Configuration,dc=example
objectClass: applicationProcess
cn: DICOM Configuration

dn: {BASE}
objectClass: applicationProcess
cn: Devices

dn: {DEVICE}
objectClass: dicomDevice
dicomDeviceName: dcm4chee-arc
dicomDescription: by hand, f\u00fcr die Radiologie

""" + "".join(
    (
        _ae("SOUTH", "dicomDescription: all studies", "dcmOtherAETitle: SOUTH2"),
        _ae("SOUTH_ADMIN"),
        _ae("REPORTS", "dcmAcceptedCallingAETitle: RIS"),
    )
)


def start(site: LabSite, folder: str) -> None:
    """On the archive's host."""
    conf = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include {folder}/dicom.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix dc=example
directory {folder}/db
access to * by dn.exact="gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth" manage by * none
"""
    site.must("pacs", ["mkdir", "-p", f"{folder}/db", "/var/run/slapd"])
    for name, text in {"dicom.schema": SCHEMA, "slapd.conf": conf, "entries.ldif": ENTRIES}.items():
        site.must("pacs", ["tee", f"{folder}/{name}"], input=text)
    site.must("pacs", ["slapadd", "-f", f"{folder}/slapd.conf", "-l", f"{folder}/entries.ldif"])
    hosts.daemon(
        site.pids["pacs"],
        ["slapd", "-d", "0", "-f", f"{folder}/slapd.conf", "-h", "ldapi:///"],
        log=f"{folder}/slapd.log",
    )
    who = ["ldapwhoami", "-Q", "-Y", "EXTERNAL", "-H", "ldapi:///"]
    hosts.until(lambda: not site.exec("pacs", who).returncode, what="slapd")


def stop(site: LabSite, folder: str) -> None:
    site.exec("pacs", ["sh", "-c", f"kill $(cat {folder}/slapd.pid)"])
    hosts.until(lambda: not site.processes("pacs", "slapd"), what="the end of slapd")
    site.exec("pacs", ["rm", "-rf", folder, SOCKET])


def modify(site: LabSite, ldif: str) -> None:
    site.must("pacs", ["ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", "ldapi:///"], input=ldif)


def export(site: LabSite) -> str:
    """All of the device, in one order: two exports that say the same are equal."""
    argv = ["ldapsearch", "-Q", "-LLL", "-o", "ldif-wrap=no", "-Y", "EXTERNAL", "-H", "ldapi:///", "-b", DEVICE]
    blocks = site.must("pacs", argv).strip().split("\n\n")
    return "\n\n".join(sorted("\n".join(sorted(block.splitlines())) for block in blocks))
