"""The inventory: our Nornir plugin, and the typed, validated site that it describes."""

from remediate.inventory.loaded import Loaded, RemediateInventory, load, site_of

__all__ = ["Loaded", "RemediateInventory", "load", "site_of"]
