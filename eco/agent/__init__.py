"""The agent: the shell around the core. It looks, lets the core decide, acts and shows."""
