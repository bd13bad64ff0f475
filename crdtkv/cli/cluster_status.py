"""`status`, `ring`, `lag`: the state of a running cluster."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.arguments import key_of
from crdtkv.cli.options import BucketName, ConfigFile, Datacenter, Json, TypeName, Wait
from crdtkv.cli.output import EXIT_NO, as_json, complain, named, shown, table
from crdtkv.cli.session import only, with_client
from crdtkv.client.client import Client, connect
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import NoNodeReachable
from crdtkv.ids import DEFAULT_BUCKET, identity_of
from crdtkv.ring.agreement import differences
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import partition_of, storage_key_of, token_of

_CONFIG = Path("datacenters.yaml")
_CONNECT_S = 2.0

Told = dict[str, dict[str, dict[str, Any] | None]]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(status)
    app.command()(ring)
    app.command()(lag)


def status(config: ConfigFile = _CONFIG, json_output: Json = False) -> None:
    """Show every node of every data center; exit code 1 if one does not answer."""
    told = asyncio.run(ask_everybody(load(config)))
    if json_output:
        as_json(told)
    else:
        table(
            _versions(told),
            (
                "datacenter",
                "node",
                "state",
                "others say",
                "up for",
                "epoch",
                "linked to",
                "NATS",
                "in flight",
                "hints",
                "outbox",
                "lag",
            ),
            [
                _status_row(dc, name, node, _seen_by_others(name, nodes))
                for dc, nodes in told.items()
                for name, node in nodes.items()
            ],
        )
    for node, difference in _drift(told):
        complain(f"{node}: the agreed ring is not as configured: {difference}")
    if any(node is None for nodes in told.values() for node in nodes.values()):
        raise typer.Exit(EXIT_NO)


def _versions(told: Told) -> str:
    """Return the version that all nodes run, or each version with its nodes."""
    by_version: dict[str, list[str]] = {}
    for nodes in told.values():
        for name, node in nodes.items():
            if node is not None and "version" in node:
                by_version.setdefault(f"{node['version']} ({node['build']})", []).append(name)
    if len(by_version) == 1:
        return f"version {next(iter(by_version))}"
    return ", ".join(f"version {version}: {' '.join(names)}" for version, names in sorted(by_version.items()))


def _drift(told: Told) -> list[tuple[str, str]]:
    """Return the nodes whose ring differs from that of their configuration, with each difference once."""
    found: dict[str, str] = {}
    for nodes in told.values():
        for name, node in nodes.items():
            for difference in (node or {}).get("config_differs", ()):
                found.setdefault(difference, name)
    return [(name, difference) for difference, name in found.items()]


def ring(
    key: Annotated[str | None, typer.Option(help="Show the replicas of this key.", callback=key_of)] = None,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    json_output: Json = False,
) -> None:
    """Show the nodes of a data center's ring and their shares, or the replicas of a key."""

    async def act(client: Client) -> HashRing:
        return HashRing(client.topology)

    hash_ring = with_client(config, dc, None, 5.0, act)
    topology = hash_ring.topology
    if key is None:
        shares = hash_ring.share_of
        rows = [(n.name, n.address, n.zone, n.weight, shares[n.name]) for n in topology.nodes]
        if json_output:
            as_json({"epoch": topology.epoch, "nodes": [dict(zip(_RING, row, strict=True)) for row in rows]})
        else:
            title = (
                f"{topology.datacenter}: epoch {topology.epoch}, {topology.partitions} partitions, "
                f"{hash_ring.replication_factor} replicas"
            )
            table(title, _RING, rows)
        for difference in differences(topology, load(config).first_topology(topology.datacenter)):
            complain(f"the agreed ring is not as configured: {difference}")
        return
    identity = identity_of(bucket, type_tag, key)
    token = token_of(identity)
    partition = partition_of(token, topology.partitions)
    replicas = hash_ring.preference_list(storage_key_of(identity))
    fallbacks = hash_ring.fallbacks(partition)
    if json_output:
        found = {**named(key), "token": f"{token:016x}", "partition": partition}
        as_json({**found, "replicas": replicas, "fallbacks": fallbacks})
        return
    title = f"{bucket}/{type_tag}/{shown(key)}: token {token:016x}, partition {partition} of {topology.partitions}"
    roles = [(name, "replica") for name in replicas] + [(name, "fallback replica") for name in fallbacks]
    rows_by_role = [(name, role, topology.node(name).zone) for name, role in roles]  # type: ignore[union-attr]
    table(title, ("node", "role", "zone"), rows_by_role)


def lag(
    config: ConfigFile = _CONFIG,
    wait: Wait = 0.0,
    json_output: Json = False,
) -> None:
    """Show the rows that each data center has not confirmed to the others; exit code 0 if there are none.

    A data center that was added, has lost disks, or was away until its rows were dropped, is complete only when all
    entries were compared. "compared_s" is how long ago all nodes of a data center had last compared all their entries
    with the other one.
    """
    cluster = load(config)
    deadline = time.monotonic() + wait
    while True:
        told = asyncio.run(ask_everybody(cluster))
        rows = _lag_rows(cluster, told)
        is_behind = any(row[2] or row[4] or not row[5] for row in rows)
        if not is_behind or time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    if json_output:
        as_json([dict(zip(_LAG, row, strict=True)) for row in rows])
    else:
        table("", _LAG, [(*row[:5], "yes" if row[5] else "no", row[6]) for row in rows])
    for dc, peer, _, _, _, is_complete, _ in rows:
        if not is_complete:
            complain(f"{peer} may lack entries of {dc}: {_comparing(told, dc, peer)}; wait until that is done")
    for dc, names in strangers(cluster, told).items():
        complain(
            f"{', '.join(names)} do not know the data center {dc!r}, and send it nothing: give them this "
            "configuration, and restart them one after the other"
        )
    if is_behind:
        raise typer.Exit(EXIT_NO)


_RING = ("node", "address", "zone", "weight", "share")
_LAG = ("from", "to", "rows", "oldest_s", "silent_nodes", "complete", "compared_s")


async def ask_everybody(config: ClusterConfig) -> Told:
    """Return the status of every node of every data center, None for a node that does not answer."""

    async def ask(dc: str) -> dict[str, dict[str, Any] | None]:
        try:
            async with connect(only(config, dc), datacenter=dc, timeout=_CONNECT_S) as client:
                return await client.status()
        except NoNodeReachable:
            return {node.name: None for node in config.datacenters[dc].nodes}

    names = list(config.datacenters)
    answers = await asyncio.gather(*(ask(dc) for dc in names))
    return dict(zip(names, answers, strict=True))


def _seen_by_others(name: str, nodes: dict[str, dict[str, Any] | None]) -> str:
    """Return the state of a node in the tables of the others: `alive`, or how many report another one."""
    members = [node.get("members", {}) for other, node in nodes.items() if node is not None and other != name]
    said = [known[name]["state"] for known in members if name in known]
    counts = {state: said.count(state) for state in ("down", "suspected") if state in said}
    return ", ".join(f"{count} of {len(said)}: {state}" for state, count in counts.items()) or "alive" * bool(said)


def _status_row(dc: str, name: str, node: dict[str, Any] | None, others_say: str) -> list[object]:
    if node is None:
        return [dc, name, "no answer", others_say or None, *[None] * 8]
    behind = ", ".join(f"{peer} {lag['rows']}" for peer, lag in node.get("lag", {}).items() if lag["rows"])
    state = "up" if node.get("disk_space", True) else "up, disk full"
    if node.get("standing", "member") != "member":
        state += f", {node['standing']}"
    return [
        dc,
        name,
        state,
        others_say or None,
        _duration(node["uptime_s"]) if "uptime_s" in node else None,
        node.get("epoch"),
        ", ".join(node.get("peers_up", [])) or "none",
        "up" if node.get("bus_up") else "down",
        node.get("calls_in_flight"),
        sum(kept["rows"] for kept in node.get("hints", {}).values()),
        node.get("outbox_rows"),
        behind or "none",
    ]


def strangers(config: ClusterConfig, told: Told) -> dict[str, list[str]]:
    """Return, by data center of the configuration, the nodes of others that answer and have no such data center."""
    found: dict[str, list[str]] = {}
    for dc, nodes in told.items():
        for peer in config.peers_of(dc):
            names = [name for name, node in nodes.items() if node is not None and peer not in node.get("lag", {})]
            if names:
                found.setdefault(peer, []).extend(names)
    return found


def comparisons_left(node: dict[str, Any], peer: str) -> int:
    """Return the partitions that a node has still to compare with another data center, at least 1 before the end."""
    left = sum(node.get("comparing_elsewhere", {}).get(peer, {}).get("left", {}).values())
    return left or int(not node.get("lag", {}).get(peer, {}).get("is_complete", True))


def _comparing(told: Told, one: str, other: str) -> str:
    """Return what two data centers have still to compare, for a person."""
    left = {
        name: comparisons_left(node, peer)
        for dc, peer in ((one, other), (other, one))
        for name, node in told[dc].items()
        if node is not None
    }
    parts = [f"{name} {count:,}" for name, count in left.items() if count]
    if not parts:
        return f"no node of {other} counts yet"
    return f"all entries are being compared (comparisons of partitions to go: {', '.join(parts)})"


def _lag_rows(config: ClusterConfig, told: Told) -> list[tuple[str, str, int, float, int, bool, float | None]]:
    """Return per pair of data centers: rows not confirmed, age of the oldest, nodes without data, completeness.

    The last item is the age of the last comparison, in seconds.
    """
    rows = []
    for dc, nodes in told.items():
        answers = [node for node in nodes.values() if node is not None]
        for peer in config.peers_of(dc):
            lags = [node["lag"][peer] for node in answers if peer in node.get("lag", {})]
            count = sum(lag["rows"] for lag in lags)
            oldest = max((lag["age_s"] for lag in lags), default=0.0)
            # A node without the other data center in its configuration has no lag for it.
            is_complete = _is_complete(dc, answers, peer, told[peer])
            rows.append((dc, peer, count, oldest, len(nodes) - len(lags), is_complete, _compared_s(answers, peer)))
    return rows


def _compared_s(senders: list[dict[str, Any]], to: str) -> float | None:
    """Return how long ago all nodes had compared all their entries with a data center; None if one never has."""
    ages = [node.get("comparing_elsewhere", {}).get(to, {}).get("compared_s") for node in senders]
    known = [age for age in ages if age is not None]
    return max(known) if known and len(known) == len(ages) else None


def _is_complete(dc: str, senders: list[dict[str, Any]], to: str, receivers: dict[str, dict[str, Any] | None]) -> bool:
    """Return whether all entries of a data center were confirmed by another one, or are in an outbox.

    The lag does not count rows that were dropped: all entries are compared instead. And a data center that has lost
    disks had confirmed entries that are lost now.
    """
    answers = [node for node in receivers.values() if node is not None]
    waits_to_be_filled = any(dc in node.get("unfilled", ()) for node in answers)
    if answers and all(node.get("standing", "member") != "member" for node in answers):
        return False  # no node there counts yet
    return not waits_to_be_filled and all(
        node["lag"][to]["is_complete"] for node in senders if to in node.get("lag", {})
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
