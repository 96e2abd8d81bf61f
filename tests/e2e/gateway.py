"""etcd's own JSON gateway, spoken with nothing but the standard library.

The judge of a test must not share code with what it judges: no product client and no gRPC in the
test's process. Ids are lower-case hex strings, as etcdctl prints them.
"""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any

CLIENT_PORT = 2379
PEER_PORT = 2380


class NoAnswerError(Exception):
    """Nobody there, too late, or etcd said no; the text says which."""


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    return base64.b64decode(text).decode()


def after(prefix: str) -> str:
    """The end of the range of keys that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def hexadecimal(number: str | int) -> str:
    return f"{int(number):x}"


@dataclass(frozen=True)
class Listed:
    """A line of the member list."""

    id: str
    name: str
    peer_url: str
    is_learner: bool


@dataclass(frozen=True)
class Standing:
    """A member's own status."""

    member_id: str
    cluster_id: str
    leader: str
    term: int
    revision: int
    raft_index: int
    applied_index: int
    is_learner: bool


@dataclass(frozen=True)
class Pair:
    """A key with its value and the revision that wrote it."""

    key: str
    value: str
    revision: int


@dataclass(frozen=True)
class Etcd:
    """One member, at its client address."""

    address: str
    port: int = CLIENT_PORT
    timeout: float = 2.0

    def call(self, path: str, body: dict[str, object], timeout: float | None = None) -> dict[str, Any]:
        """POST to the gateway. Raises `NoAnswerError`."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout or self.timeout)
        try:
            connection.request("POST", f"/v3/{path}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            raise NoAnswerError(f"{self.address}: {fault!r}") from fault
        finally:
            connection.close()
        try:
            document: dict[str, Any] = json.loads(raw)
        except ValueError as fault:
            raise NoAnswerError(f"{self.address}: {raw[:200]!r}") from fault
        if answer.status != http.client.OK:
            raise NoAnswerError(f"{self.address}: {document.get('message') or document}")
        return document

    def put(self, key: str, value: str, timeout: float | None = None) -> int:
        """Write; the revision it got."""
        answer = self.call("kv/put", {"key": encode(key), "value": encode(value)}, timeout)
        return int(answer["header"]["revision"])

    def get(self, key: str, *, serializable: bool = False) -> Pair | None:
        answer = self.call("kv/range", {"key": encode(key), "serializable": serializable})
        return next((_pair(raw) for raw in answer.get("kvs", [])), None)

    def delete(self, key: str) -> None:
        self.call("kv/deleterange", {"key": encode(key)})

    def page(self, start: str, end: str, limit: int, revision: int = 0) -> tuple[list[Pair], int, bool]:
        """Keys from `start` up to `end` by a linearizable read: the pairs, the revision, whether more follow."""
        body: dict[str, object] = {"key": encode(start), "range_end": encode(end), "limit": limit, "revision": revision}
        answer = self.call("kv/range", body, 30)
        pairs = [_pair(raw) for raw in answer.get("kvs", [])]
        return pairs, int(answer["header"]["revision"]), bool(answer.get("more", False))

    def everything(self, prefix: str) -> dict[str, Pair]:
        """Every pair below `prefix`, all at one revision."""
        found: dict[str, Pair] = {}
        start, revision, more = prefix, 0, True
        while more:
            pairs, seen, more = self.page(start, after(prefix), 5000, revision)
            revision = revision or seen
            found.update((pair.key, pair) for pair in pairs)
            start = pairs[-1].key + "\0" if pairs else start
        return found

    def standing(self, timeout: float | None = None) -> Standing:
        """Its status; a member that was serving answers it without quorum, too."""
        raw = self.call("maintenance/status", {}, timeout)
        header = raw["header"]
        return Standing(
            member_id=hexadecimal(header["member_id"]),
            cluster_id=hexadecimal(header["cluster_id"]),
            leader=hexadecimal(raw.get("leader", 0)),
            term=int(header.get("raft_term", 0)),
            revision=int(header.get("revision", 0)),
            raft_index=int(raw.get("raftIndex", 0)),
            applied_index=int(raw.get("raftAppliedIndex", 0)),
            is_learner=bool(raw.get("isLearner", False)),
        )

    def members(self, *, linearizable: bool = True) -> list[Listed]:
        """The member list, sorted by name."""
        raw = self.call("cluster/member/list", {"linearizable": linearizable})
        return sorted(map(_listed, raw["members"]), key=lambda member: (member.name, member.id))

    def add_member(self, peer_url: str, *, learner: bool) -> str:
        raw = self.call("cluster/member/add", {"peerURLs": [peer_url], "isLearner": learner})
        return hexadecimal(raw["member"]["ID"])

    def remove_member(self, member_id: str) -> None:
        self.call("cluster/member/remove", {"ID": str(int(member_id, 16))})

    def move_leader(self, member_id: str) -> None:
        self.call("maintenance/transfer-leadership", {"targetID": str(int(member_id, 16))})

    def hash_at(self, revision: int) -> tuple[int, int]:
        """The hash of the key space at a revision, and the compact revision it is of."""
        raw = self.call("maintenance/hash", {"revision": str(revision)}, 10)
        return int(raw["hash"]), int(raw.get("compact_revision", 0))


def _pair(raw: dict[str, str]) -> Pair:
    return Pair(decode(raw["key"]), decode(raw.get("value", "")), int(raw["mod_revision"]))


def _listed(raw: dict[str, Any]) -> Listed:
    return Listed(hexadecimal(raw["ID"]), raw.get("name", ""), raw["peerURLs"][0], bool(raw.get("isLearner", False)))
