"""Stores: where charters, rosters and snapshots live. Plug-ins under `eco.snapshot_stores`."""
