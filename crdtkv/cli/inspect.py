"""`inspect`: the stored entry of a key on every node of every data center, side by side.

Nothing is merged: each node is asked separately, and returns its stored entry, including expired values. Replicas that
agree hold the same bytes, because entries are canonical. So a node's row has a digest of its bytes, and the details of
the bytes (causal context, siblings) are printed once per digest.
"""

import asyncio
import datetime as dt
import time
from pathlib import Path
from typing import Any, NamedTuple

import typer

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp, from_wall_ms, wall_ms_of
from crdtkv.cli.options import BucketName, ConfigFile, Json, Key, TypeName
from crdtkv.cli.output import EXIT_NO, as_json, escaped, named, say, table, value_text
from crdtkv.cli.session import only
from crdtkv.cli.showing import FLAGS, cell_of, document_of
from crdtkv.client.client import Held, connect
from crdtkv.client.entry import ValueEntry
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.register import Register
from crdtkv.crdt.registry import type_named
from crdtkv.errors import NoNodeReachable
from crdtkv.hashing import digest_of
from crdtkv.ids import DEFAULT_BUCKET, identity_of, parse_identity
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import token_of

_CONFIG = Path("datacenters.yaml")
_CONNECT_S = 2.0
_VALUE_LENGTH = 60
_COLUMNS = ("datacenter", "node", "role", "value", "tombstone", "expires", "bytes", "digest")


class Holding(NamedTuple):
    """The entry of a key on one node; `held` is None if the node does not answer."""

    datacenter: str
    node: str
    is_home: bool
    is_learner: bool
    held: Held | None

    @property
    def encoded(self) -> bytes | None:
        """The stored bytes, if there are any."""
        return self.held.encoded if self.held is not None else None

    @property
    def role(self) -> str:
        """The role of the node for the key; a node that is no home replica holds entries of hints."""
        if self.is_home:
            return "replica, learner" if self.is_learner else "replica"
        return "fallback replica, with a hint" if self.encoded is not None else "no replica"


class Verdict(NamedTuple):
    """Whether the home replicas agree, and the lines that report it."""

    is_agreed: bool
    lines: list[str]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(inspect)


def inspect(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    config: ConfigFile = _CONFIG,
    json_output: Json = False,
) -> None:
    """Show the stored entry of a key on every node, side by side; exit code 0 if all home replicas agree."""
    type_named(type_tag)
    identity = identity_of(bucket, type_tag, key)
    rows = asyncio.run(_ask_everybody(load(config), identity))
    verdict = verdict_on(rows)
    if json_output:
        document = {**named(key), "agree": verdict.is_agreed, "nodes": [_document(row, identity) for row in rows]}
        as_json({**document, "silent": [row.node for row in rows if row.held is None]})
    else:
        table("", _COLUMNS, [_cells(row, identity) for row in rows], right=["bytes"])
        for line in (*_told_once(rows), "", *verdict.lines):
            say(line)
    if not verdict.is_agreed:
        raise typer.Exit(EXIT_NO)


def verdict_on(rows: list[Holding]) -> Verdict:
    """Compare the entries of the home replicas."""
    homes = [row for row in rows if row.is_home]
    holders: dict[bytes | None, list[str]] = {}
    for row in homes:
        if row.held is not None:
            holders.setdefault(row.encoded, []).append(row.node)
    answering = sum(map(len, holders.values()))
    which = f"all {answering}" if answering == len(homes) else f"{answering} of {len(homes)}"
    silent = [row.node for row in rows if row.held is None]
    lines = []
    if len(holders) > 1:
        told = [f"{_digest(encoded) or 'nothing'} on {', '.join(nodes)}" for encoded, nodes in holders.items()]
        lines.append(f"home replicas differ: {'; '.join(told)}")
    elif holders:
        lines.append(f"{which} home replicas hold {'the same' if None not in holders else 'nothing'}")
    if silent:
        lines.append(f"no answer from {', '.join(silent)}")
    return Verdict(len(holders) == 1 and answering == len(homes), lines)


async def _ask_everybody(config: ClusterConfig, identity: bytes) -> list[Holding]:
    asked = (_ask(config, datacenter, identity) for datacenter in config.datacenters)
    return [row for rows in await asyncio.gather(*asked) for row in rows]


async def _ask(config: ClusterConfig, datacenter: str, identity: bytes) -> list[Holding]:
    """Ask the nodes of one data center; if none can be reached, use the ring of the configuration."""
    ring = HashRing(config.first_topology(datacenter))
    told: dict[str, Held | None] = dict.fromkeys(node.name for node in config.datacenters[datacenter].nodes)
    learners: frozenset[str] = frozenset()
    try:
        async with connect(only(config, datacenter), datacenter=datacenter, timeout=_CONNECT_S) as client:
            ring = HashRing(client.topology)
            learners = ring.learners
            told = await client.inspect(identity)
    except NoNodeReachable:
        pass
    homes = ring.replicas_at(token_of(identity))
    return [Holding(datacenter, name, name in homes, name in learners, held) for name, held in told.items()]


def _cells(row: Holding, identity: bytes) -> list[object]:
    if row.held is None:
        return [*row[:2], row.role if row.is_home else "?", "no answer", *[None] * 4]
    if row.encoded is None:
        return [*row[:2], row.role, "nothing", *[None] * 4]
    seen, expires_at_s = _as_of_now(row.encoded, identity)
    is_tombstone = Entry.from_bytes(row.encoded).is_tombstone
    type_tag = parse_identity(identity).type_tag
    value = "deleted" if is_tombstone else "expired"
    if seen.exists or type_tag in FLAGS:
        value = cell_of(type_tag, seen)
    if len(value) > _VALUE_LENGTH:
        value = value[: _VALUE_LENGTH - 2] + " …"
    more = f" +{len(seen.siblings) - 1} siblings" if len(seen.siblings) > 1 else ""
    expires = _time(expires_at_s) if expires_at_s is not None else None
    return [
        *row[:2],
        row.role,
        value + more,
        "yes" if is_tombstone else "no",
        expires,
        len(row.encoded),
        _digest(row.encoded),
    ]


def _document(row: Holding, identity: bytes) -> dict[str, Any]:
    document: dict[str, Any] = {
        "datacenter": row.datacenter,
        "node": row.node,
        "role": row.role,
        "answers": row.held is not None,
        "holds": row.encoded is not None,
    }
    if row.encoded is None:
        return document
    entry = Entry.from_bytes(row.encoded)
    seen, expires_at_s = _as_of_now(row.encoded, identity)
    return {
        **document,
        "exists": seen.exists,
        "value": document_of(entry.type_tag, seen),
        "siblings": _siblings(entry),
        "context": repr(entry.context),
        "tombstone": entry.is_tombstone,
        "expires_at_s": expires_at_s,
        "bytes": len(row.encoded),
        "digest": _digest(row.encoded),
    }


def _as_of_now(encoded: bytes, identity: bytes) -> tuple[ValueEntry[Any], float | None]:
    """Return what a reader would see of an entry now, and when all of it has expired, if it does."""
    entry = Entry.from_bytes(encoded)
    expires_at = entry.expires_at
    now = entry.at(from_wall_ms(int(time.time() * 1000)))
    return ValueEntry(identity, now, now.state), wall_ms_of(expires_at) / 1000 if expires_at else None


def _told_once(rows: list[Holding]) -> list[str]:
    """Return the context and the siblings of every distinct entry."""
    lines: list[str] = []
    for encoded in dict.fromkeys(row.encoded for row in rows if row.encoded is not None):
        entry = Entry.from_bytes(encoded)
        lines += ["", f"{_digest(encoded)} has seen {entry.context or 'nothing'}"]
        for sibling in _siblings(entry):
            expires = f", expires {_time(sibling['expires_at_s'])}" if sibling["expires_at_s"] else ""
            value = escaped(value_text(sibling["value"])) if not sibling["is_deleted"] else "(deleted)"
            lines.append(f"  {sibling['dot']} at {_time(sibling['timestamp_ms'] / 1000)}{expires}: {value}")
    return lines


def _siblings(entry: Entry) -> list[dict[str, Any]]:
    """Return the versions in an entry of a register or lww value, expired or not, the winner first."""
    state = entry.state
    versions: list[tuple[HybridTimestamp, Dot, bytes | None]] = []
    if isinstance(state, Register):
        versions = [(version.timestamp, version.dot, version.value) for version in state.siblings()]
    elif isinstance(state, LastWriterWins) and state.winner is not None:
        versions = [state.winner]
    return [
        {
            "dot": str(dot),
            "timestamp_ms": wall_ms_of(timestamp),
            "logical": timestamp - from_wall_ms(wall_ms_of(timestamp)),
            "expires_at_s": wall_ms_of(entry.expiries[dot]) / 1000 if dot in entry.expiries else None,
            "is_deleted": value is None,
            "value": cbor.decode_value(value) if value is not None else None,
        }
        for timestamp, dot, value in versions
    ]


def _digest(encoded: bytes | None) -> str:
    return digest_of(b"", encoded).hex()[:8] if encoded is not None else ""


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
