"""The inventory: our Nornir plugin, and the typed, validated site that it describes.

What reads its files is imported at its first use: a sweep over a list of targets does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remediate.inventory.loaded import Loaded, RemediateInventory, load, site_of

__all__ = ["Loaded", "RemediateInventory", "load", "site_of"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module("remediate.inventory.loaded"), name)
