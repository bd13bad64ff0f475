"""etcd: three members, an fsync on a majority before each answer, linearizable reads; the client asks the leader.

The few messages of etcd's gRPC interface that are needed are described here, with the field numbers of its `rpc.proto`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.local.ports import free_ports
from peers.system import AbsentError, CarryOut, StartError, System, Verbs, children, listening, program

# Children are started by fork and exec at once: gRPC, which is loaded later, need not prepare for that.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

MEMBERS = 3
PACKAGE = "etcdserverpb"
#: Fields by message: (name, number, type), the type a scalar of protobuf, a message, or with `*` several of these.
MESSAGES = {
    "KeyValue": [("key", 1, "bytes"), ("value", 5, "bytes")],
    "ResponseHeader": [("member_id", 2, "uint64")],
    "PutRequest": [("key", 1, "bytes"), ("value", 2, "bytes")],
    "PutResponse": [("header", 1, "ResponseHeader")],
    "RangeRequest": [("key", 1, "bytes"), ("range_end", 2, "bytes"), ("limit", 3, "int64")],
    "RangeResponse": [("header", 1, "ResponseHeader"), ("kvs", 2, "*KeyValue")],
    "StatusRequest": [],
    "StatusResponse": [("header", 1, "ResponseHeader"), ("leader", 4, "uint64")],
}


class Etcd(System):
    """Three members; the client has one gRPC channel, to the leader."""

    name = "etcd"

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._addresses: list[str] = []

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""
        import grpc

        return (RecordMissing, grpc.RpcError)

    def require(self) -> None:
        """Look for the server and the client libraries."""
        program("etcd", self._server, "--etcd", "Debian's etcd-server")
        try:
            import google.protobuf  # noqa: F401
            import grpc.aio  # noqa: F401
        except ImportError as error:
            raise AbsentError(f"{error}: pip install grpcio protobuf") from None

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[list[int]]:
        """Start the members, and wait for a leader."""
        server = program("etcd", self._server, "--etcd", "Debian's etcd-server")
        ports, peer_ports = free_ports(MEMBERS), free_ports(MEMBERS)
        self._addresses = [f"127.0.0.1:{port}" for port in ports]
        everybody = ",".join(f"e{number}=http://127.0.0.1:{port}" for number, port in enumerate(peer_ports))
        commands = []
        for number, (port, peer_port) in enumerate(zip(ports, peer_ports, strict=True)):
            own, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
            command: list[str | Path] = [server, "--name", f"e{number}", "--data-dir", directory / f"e{number}"]
            command += ["--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", peer]
            command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", everybody]
            command += ["--initial-cluster-state", "new", "--quota-backend-bytes", str(8 << 30)]
            commands.append((f"e{number}", command))
        async with children(commands, directory) as members:
            for child, port in zip(members, ports, strict=True):
                await listening(child, "127.0.0.1", port)
            await self._leader()
            yield [child.pid for child in members]

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect to the leader."""
        from grpc import aio

        async with aio.insecure_channel(await self._leader()) as channel:
            yield _Verbs(channel, values)

    async def _leader(self) -> str:
        import grpc
        from grpc import aio

        for _ in range(300):
            for address in self._addresses:
                async with aio.insecure_channel(address) as channel:
                    try:
                        told = await _method(channel, "Maintenance/Status", "Status")(_messages()["StatusRequest"]())
                    except grpc.RpcError:
                        continue
                if told.leader and told.leader == told.header.member_id:
                    return address
            await asyncio.sleep(0.1)
        raise StartError("etcd has no leader after 30 s")


class _Verbs(Verbs):
    def __init__(self, channel: Any, values: list[bytes]) -> None:
        super().__init__(values)
        self._put = _method(channel, "KV/Put", "Put")
        self._range = _method(channel, "KV/Range", "Range")
        self._put_request, self._range_request = _messages()["PutRequest"], _messages()["RangeRequest"]

    async def put(self, key: str, value: bytes) -> None:
        """Write a value durably."""
        await self._put(self._put_request(key=key.encode(), value=value))

    async def get(self, key: str) -> bytes | None:
        """Return a value, None if there is none."""
        found = (await self._range(self._range_request(key=key.encode()))).kvs
        return found[0].value if found else None

    async def scan(self, key: str, count: int) -> None:
        """Read so many records from a key on, in the order of the keys."""
        await self._range(self._range_request(key=key.encode(), range_end=b"\0", limit=count))


def _method(channel: Any, path: str, name: str) -> Any:
    return channel.unary_unary(
        f"/{PACKAGE}.{path}",
        request_serializer=_messages()[f"{name}Request"].SerializeToString,
        response_deserializer=_messages()[f"{name}Response"].FromString,
    )


@cache
def _messages() -> dict[str, Any]:
    """Return the classes of the messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    described = descriptor_pb2.FileDescriptorProto(name="etcd.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = described.message_type.add(name=name)
        for field_name, number, of_type in fields:
            label = field.LABEL_REPEATED if of_type.startswith("*") else field.LABEL_OPTIONAL
            added = message.field.add(name=field_name, number=number, label=label)
            if (inner := of_type.removeprefix("*")) in MESSAGES:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{inner}"
            else:
                added.type = getattr(field, f"TYPE_{of_type.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}
