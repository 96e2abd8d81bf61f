"""The ids that etcd derives: a founder's from its peer URLs and the token, a cluster's from its members.

Pure arithmetic. It lets an agent name its founders, and recognise a foreign data set, before
any etcd has run. Ids are written as etcdctl prints them: lower-case hex without padding.

Sources: etcd server/etcdserver/api/membership/member.go (computeMemberID) and cluster.go (genID),
the same from 3.4 to 3.7. A member that was added later hashes the time of MemberAdd, too, so its
id is only ever learnt from etcd.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eco.core.model import Id


def founder_id(peer_urls: Iterable[str], token: str) -> Id:
    """Derive the member id of a founder with these peer URLs, as `--initial-cluster` writes them."""
    return _hashed("".join([*sorted(peer_urls), token]).encode())


def cluster_id(member_ids: Iterable[Id]) -> Id:
    """Derive the id of the cluster that these members found. Raises `ValueError` if one is not hex."""
    return _hashed(b"".join(sorted(bytes.fromhex(f"{member:0>16}") for member in member_ids)))


def hexed(number: int) -> Id:
    """Write a 64-bit id as etcdctl does; 0, which etcd uses for "none", gives ""."""
    return f"{number:x}" if number else ""


def _hashed(raw: bytes) -> Id:
    return hexed(int.from_bytes(hashlib.sha1(raw, usedforsecurity=False).digest()[:8], "big"))
