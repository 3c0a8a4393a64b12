"""Plain Nornir and netmiko: the same lines, typed in configuration mode, and nothing else.

usage: bare.py JOBS FORKS      JOBS: a JSON list of {"name", "host", "port", "username", "key", "known_hosts", "lines"}

Prints how many devices took all their lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from netmiko import ConnectHandler
from nornir.core import Nornir
from nornir.core.inventory import Host, Hosts, Inventory
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner


def push(task: Task) -> Result:
    job = task.host.data
    with ConnectHandler(
        device_type="cisco_ios",
        host=job["host"],
        port=job["port"],
        username=job["username"],
        use_keys=True,
        key_file=job["key"],
        ssh_strict=True,
        alt_host_keys=True,
        alt_key_file=job["known_hosts"],
    ) as device:
        said = device.send_config_set(job["lines"])
    return Result(host=task.host, failed="%" in said, result=said)


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text())
    hosts = Hosts({job["name"]: Host(name=job["name"], data=job) for job in jobs})
    nornir = Nornir(inventory=Inventory(hosts=hosts), runner=ThreadedRunner(num_workers=int(sys.argv[2])))
    results = nornir.run(push, raise_on_error=False)
    for result in results.values():
        if result.failed:
            sys.stderr.write(f"{result[0].host}: {result[0].exception or result[0].result}\n")
    sys.stdout.write(f"{sum(not result.failed for result in results.values())}\n")


main()
