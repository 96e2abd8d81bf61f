"""`eco dev`: a real cluster on this machine, and hands to hurt it with.

One supervisor keeps one agent per node running, as systemd would on real machines, and plays
the cloud: it owns the group file and takes machines away. It knows nothing of etcd's state and
decides nothing for the agents; what it shows, it asks them.
"""
