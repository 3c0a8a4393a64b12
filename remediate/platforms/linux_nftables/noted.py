"""``date +%s``, then ``nft -j list table inet remediate`` → whom an observing guard has noted. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from remediate.model.peers import Noted


def noted(text: str) -> tuple[Noted, ...]:
    """Raises ValueError for what is not of that form."""
    now, _, listing = text.partition("\n")
    if not listing.strip():
        return ()
    try:
        return tuple(_noted(json.loads(listing)["nftables"], float(now)))
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError("its sets are not as nft lists them") from error


def _noted(listed: list[dict[str, Any]], now: float) -> Iterator[Noted]:
    for one in (item["set"] for item in listed if "set" in item):
        if not one["name"].startswith(("seen4_", "seen6_")):
            continue
        for element in (item["elem"] for item in one.get("elem", ())):
            source, archive, port = element["val"]["concat"]
            gone = one["timeout"] - element["expires"]
            yield Noted(
                source=ip_address(source),
                port=port,
                archive=ip_address(archive),
                last=datetime.fromtimestamp(now - gone, UTC),
                packets=element["counter"]["packets"],
            )
