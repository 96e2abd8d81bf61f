"""The configuration: `load(path)` gives a frozen, typed `Config`, or every problem at once.

Imported before etcd is started, so only what that takes is imported here; `eco.config.schema` and
`eco.config.importing` are for the command line.
"""

from eco.config.loading import load
from eco.config.model import (
    Config,
    EtcdConfig,
    GroupConfig,
    LogConfig,
    PeerTransportSecurity,
    SnapshotConfig,
    TransportSecurity,
)

__all__ = [
    "Config",
    "EtcdConfig",
    "GroupConfig",
    "LogConfig",
    "PeerTransportSecurity",
    "SnapshotConfig",
    "TransportSecurity",
    "load",
]
