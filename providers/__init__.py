"""Providers: who is in the group. Each is a plug-in under the entry point `eco.providers`."""
