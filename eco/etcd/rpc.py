"""gRPC as we use it towards etcd: one short-tempered channel per URL, and its errors as ours.

Only `eco.etcd.client` imports this module, and late: grpc costs a tenth of a second that etcd's
start must not wait for. Nothing of grpc is seen outside.
"""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from aetcd.rpc import rpc_pb2 as messages
from aetcd.rpc import rpc_pb2_grpc as stubs

from eco.errors import Corrupt, EcoError, Refused, Unavailable
from eco.etcd.client import Denied, Missing

if TYPE_CHECKING:
    from eco.etcd.client import Tls

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # it is also the time that one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),  # etcd takes pings closer than 5 s for an attack
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.max_receive_message_length", 32 << 20),
    ("grpc.max_send_message_length", 32 << 20),
)

_Code = grpc.StatusCode
_PERHAPS_LATER = {
    _Code.UNAVAILABLE,
    _Code.CANCELLED,
    _Code.ABORTED,
    _Code.UNKNOWN,
    _Code.INTERNAL,
    _Code.RESOURCE_EXHAUSTED,
}
_ETCD = "etcdserver: "
_TOO_LARGE = "larger than max"


class _Connection:
    """A channel to one URL, with etcd's services on it. It connects by itself, and again."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.used = 0.0
        self.kv = stubs.KVStub(channel)
        self.cluster = stubs.ClusterStub(channel)
        self.maintenance = stubs.MaintenanceStub(channel)


class Wire:
    """Calls to etcd, over connections that are opened at first use and closed after `idle` seconds without one."""

    def __init__(self, tls: Tls | None, idle: float) -> None:
        self._tls = tls
        self._idle = idle
        self._open: dict[str, _Connection] = {}

    async def call(self, url: str, method: str, request: str, timeout: float, **fields: Any) -> Any:  # noqa: ASYNC109
        """Call `method` (such as "kv.Range") at `url` with a `request` message of these fields.

        Gives the reply within `timeout` seconds. Raises `Unavailable`, `Refused`, `Corrupt`.
        """
        await self._close_unused()
        connection = self._open.get(url) or self._dialled(url)
        connection.used = time.monotonic()
        message = getattr(messages, request)(**fields)
        try:
            reply = await attrgetter(method)(connection)(message, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, url) from error
        if reply is None:
            raise Corrupt(f"what answers at {url} is not etcd: its reply to {method} cannot be decoded")
        return reply

    async def close(self) -> None:
        """Close every connection; idempotent."""
        await self._close(list(self._open))

    async def _close_unused(self) -> None:
        oldest = time.monotonic() - self._idle
        await self._close([url for url, connection in self._open.items() if connection.used < oldest])

    async def _close(self, urls: list[str]) -> None:
        for connection in [self._open.pop(url) for url in urls]:
            await connection.channel.close()

    def _dialled(self, url: str) -> _Connection:
        try:
            parts = urlsplit(url)
            dialable = parts.scheme in ("http", "https") and parts.hostname and parts.port
        except ValueError:
            dialable = False
        if not dialable:
            raise Unavailable(f"{url!r} is not a client URL such as http://10.0.0.1:2379")
        self._open[url] = connection = _Connection(_channel(parts.scheme, parts.netloc, self._tls))
        return connection


def _channel(scheme: str, target: str, tls: Tls | None) -> Any:
    if scheme == "http":
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    if tls is None:
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca or None, tls.key or None, tls.cert or None)
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return grpc.aio.secure_channel(target, credentials, options=(*_OPTIONS, *name))


def _translated(error: grpc.aio.AioRpcError, url: str) -> EcoError:
    """Say a gRPC error as one of ours, by what the caller does next."""
    code, words = error.code(), error.details() or ""
    if _TOO_LARGE in words:
        return Corrupt(f"what answers at {url} is not etcd: {words}")
    if code is _Code.DEADLINE_EXCEEDED:
        return Unavailable(f"etcd at {url} does not answer in time")
    if code in _PERHAPS_LATER and not words.startswith(_ETCD):
        return Unavailable(f"etcd at {url} cannot be reached: {words.rpartition(': ')[2]}")
    return _kind(code, words)(f"etcd at {url} says: {words.removeprefix(_ETCD)}")


def _kind(code: grpc.StatusCode, words: str) -> type[EcoError]:
    """Sort an answer of etcd's own; "not enough started members" among others comes as UNKNOWN."""
    if code in _PERHAPS_LATER and code is not _Code.UNKNOWN:
        return Unavailable
    if code is _Code.NOT_FOUND:
        return Missing
    if code in (_Code.PERMISSION_DENIED, _Code.UNAUTHENTICATED) or words == f"{_ETCD}user name is empty":
        return Denied
    return Refused
