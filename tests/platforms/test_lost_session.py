"""A device restarts while a session with it is held: what is asked of that session is ours to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remediate.errors import DeviceUnreachable
from tests.platforms.test_cisco_ios_device import running_router


def test_which_unit_it_was_is_still_known_and_anything_else_is_unreachable(tmp_path: Path) -> None:
    with running_router(tmp_path) as router:
        driver: Any = router.connect()
        before = driver.unit()
        driver._session._netmiko.remote_conn_pre.get_transport().sock.close()
        driver._session._netmiko.remote_conn_pre.get_transport().join(10)
        assert driver.unit() == before
        with pytest.raises(DeviceUnreachable):
            driver.running_config()
