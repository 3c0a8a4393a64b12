"""What a CERT reported, asked about on the embedded site: closed by a change, and back again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.record import Record
from tests.e2e.test_demo import at_prompt, site

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "post_incident_verify.yaml"
pytestmark = pytest.mark.timeout(200)


def test_closed_then_back(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        where, spot = ["-i", str(made.inventory)], made.layout
        defaults = made.inventory / "defaults.yaml"
        data = yaml.safe_load(defaults.read_text())
        expires = (datetime.now(UTC) + timedelta(days=2)).date()
        data["data"]["scope"] = [{"network": f"127.{spot.net}.0.0/16", "reference": "T-1", "expires": expires}]
        defaults.write_text(yaml.safe_dump(data))
        nobody = spot.at(203, 99)
        lines = [f"{spot.published}:{spot.dicom_port}", f"{nobody}:{spot.dicom_port}", "203.0.113.9", "rubbish"]
        (tmp_path / "list.txt").write_text("\n".join(lines))

        def asked() -> tuple[int, dict[str, Any]]:
            told = ["-e", "reported=list.txt", "--format", "json"]
            done = at_prompt(tmp_path, "verify", str(PLAYBOOK), *where, *told)
            found = json.loads(done.stdout)
            by_address = {one["address"]: one for one in found["addresses"]}
            assert (by_address["203.0.113.9"]["whose"], by_address[nobody]["now"]) == ("not ours", "closed")
            assert [one["line"] for one in found["unreadable"]] == [4]
            return done.returncode, by_address[spot.published]

        assert at_prompt(tmp_path, "run", str(made.playbook), *where).returncode == 0
        status, archive = asked()
        assert (status, archive["now"], archive["protected_by"]) == (3, "closed", {"archive": ["edge-router"]})
        with Record.open(tmp_path / "record.db") as record:
            closed_by = record.changes()[0].change
        assert at_prompt(tmp_path, "rollback", closed_by).returncode == 0
        with Record.open(tmp_path / "record.db") as record:
            opened_by = record.changes()[1].change
        status, archive = asked()
        assert (status, archive["came_back"]) == (1, [spot.web_port, spot.dicom_port])
        assert (archive["before"]["change"], archive["before"]["opened_by"]) == (closed_by, opened_by)
