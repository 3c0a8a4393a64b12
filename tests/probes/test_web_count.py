"""``--count``: opt-in, and never from outside."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from remediate.cli import main
from remediate.model.site import Role, ServiceKind, Zone
from remediate.model.verdict import Purpose
from remediate.policy import counting, expectations
from tests import factories

from .daemons import orthanc

HOSTS = """
pacs-1:
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {{inside: 127.0.0.1, outside: 127.0.0.1}}
    services: [{{kind: dicomweb, port: {port}}}]
    access: {{peers: [{{name: readers, address: 127.0.0.1, roles: [web]}}]}}
internet:
  groups: [vantages]
  data: {{zone: outside, via: local, canaries: [{{address: 127.0.0.1, port: {canary}}}]}}
clinic:
  groups: [vantages]
  data: {{zone: inside, via: local, peer: readers}}
"""


def test_only_web_questions_from_inside_count() -> None:
    partner = factories.CLINIC.model_copy(update={"name": "partner", "zone": Zone.OUTSIDE})
    vantages = {one.name: one for one in (factories.INTERNET, factories.CLINIC, partner)}
    made = expectations(factories.pacs(), vantages.values()).expectations
    asked = [counting(one, vantages) for one in made]
    assert {one.question.kind for one in asked if one.question.count} <= {ServiceKind.WEB, ServiceKind.DICOMWEB}
    assert not any(one.question.count for one in asked if one.purpose is Purpose.OUTSIDE_CLOSED)
    for before, after in zip(made, asked, strict=True):
        inside = before.question.vantage == "clinic"
        assert after.question.count is (inside and before.purpose is Purpose.CARE_PATH and before.role is Role.WEB)
        assert not before.question.count


@pytest.mark.parametrize("options", [[], ["--count"]])
def test_verify(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (inventory := tmp_path / "inventory").mkdir()
    monkeypatch.setattr("sys.argv", ["remediate", "verify", "-i", str(inventory), "--format", "json", *options])
    with orthanc(tmp_path, {}, dicomweb=False) as port, socket.create_server(("127.0.0.1", 0)) as canary:
        hosts = HOSTS.format(port=port, canary=canary.getsockname()[1])
        (inventory / "hosts.yaml").write_text(hosts)
        with pytest.raises(SystemExit) as ended:
            main()
    told = capsys.readouterr()
    assert ended.value.code == 1, told.err
    counts: dict[str, object] = {}

    def collect(value: object) -> None:
        if isinstance(value, dict):
            if value.get("question") and "surfaces" in value:
                assert "statistics" in value["surfaces"]
                counts[value["question"]["vantage"]] = value["counts"]
            for one in value.values():
                collect(one)
        elif isinstance(value, list):
            for one in value:
                collect(one)

    collect(json.loads(told.out))
    assert counts == {
        "internet": None,
        "clinic": {"studies": 0, "instances": 0, "patients": 0} if options else None,
    }
    assert ("counting" in told.err) is bool(options)
