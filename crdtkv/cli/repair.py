"""`hints`, `repair`: shows pending hints, and starts anti-entropy sessions now."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.cluster_status import ask_everybody, comparisons_left
from crdtkv.cli.options import ConfigFile, Datacenter, Json, Wait
from crdtkv.cli.output import EXIT_NO, as_json, say, table
from crdtkv.cli.session import with_client
from crdtkv.client.client import Client
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import InvalidRequest

_CONFIG = Path("datacenters.yaml")
_HINTS = ("datacenter", "node", "for", "rows", "bytes", "oldest_s", "dropped")
_LOOK_EVERY_S = 0.2

_Status = dict[str, dict[str, Any] | None]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(hints)
    app.command()(repair)


def hints(config: ConfigFile = _CONFIG, json_output: Json = False) -> None:
    """Show the hints that nodes store for others that were down; exit code 0 if there are none.

    A row with "dropped" means that hints did not fit: an anti-entropy session repairs the target when it is back.
    """
    told = asyncio.run(ask_everybody(load(config)))
    rows = [row for dc, nodes in told.items() for row in _hint_rows(dc, nodes)]
    if json_output:
        as_json([dict(zip(_HINTS, row, strict=True)) for row in rows])
    elif rows:
        table("", _HINTS, rows)
    else:
        say("no hints")
    if rows:
        raise typer.Exit(EXIT_NO)


def repair(
    partition: Annotated[int | None, typer.Option(help="Only this partition; default all.")] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(help="Compare two data centers with each other.", metavar="DC DC")
    ] = None,
    wait: Wait = 600.0,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    json_output: Json = False,
) -> None:
    """Compare all replicas of a data center now, and repair the differences; exit code 0 when that is done.

    Anti-entropy does so continuously in the background. This starts it at once, and shows its progress. With --between
    all nodes of the first data center compare all their entries with a majority of the replicas in the second.
    """
    peer = _other_datacenter(load(config), between, partition, dc)

    async def act(client: Client) -> dict[str, Any]:
        if partition is not None and not 0 <= partition < client.topology.partitions:
            raise InvalidRequest(f"partitions count from 0 to {client.topology.partitions - 1}, not {partition}")
        begun = await client.repair(partition, between=peer)
        before = {name: _repaired(node) for name, node in begun.items() if node is not None}
        began, shown = time.monotonic(), -1
        while True:
            status = await client.status()
            left = sum(_left(node, peer) for node in status.values() if node is not None)
            if left != shown and not json_output:
                say(f"{left:,} comparisons of partitions to go")
                shown = left
            if not left or time.monotonic() - began > wait:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        after = {name: _repaired(node) for name, node in status.items() if node is not None}
        return {
            "left": left,
            "repaired": sum(count - before.get(name, count) for name, count in after.items()),
            "silent": sorted(name for name, node in begun.items() if node is None or not _knows(node, peer)),
            "seconds": round(time.monotonic() - began, 3),
        }

    done = with_client(config, between[0] if between is not None else dc, None, 5.0, act)
    if json_output:
        as_json(done)
    else:
        what = "compared everything" if not done["left"] else f"not done: {done['left']} comparisons to go"
        say(f"{what}; repaired {done['repaired']:,} differences in {done['seconds']:.1f} s")
        if done["silent"]:
            why = "did not answer" if peer is None else f"did not answer, or do not know {peer}"
            say(f"{', '.join(done['silent'])} {why}, and compared nothing")
    if done["left"] or done["silent"]:
        raise typer.Exit(EXIT_NO)


def _other_datacenter(
    config: ClusterConfig, between: tuple[str, str] | None, partition: int | None, dc: str | None
) -> str | None:
    """Return the second data center of `--between`.

    Raises:
        InvalidRequest: the options do not fit together.
    """
    if between is None:
        return None
    if partition is not None or dc is not None:
        raise InvalidRequest("--between compares all partitions of two data centers: leave out --partition and --dc")
    for name in between:
        if name not in config.datacenters:
            raise InvalidRequest(f"no data center {name!r}: there are {', '.join(config.datacenters)}")
    if between[0] == between[1]:
        raise InvalidRequest(f"{between[0]!r} twice: name two data centers, or use --dc to compare its replicas")
    return between[1]


def _knows(node: dict[str, Any], peer: str | None) -> bool:
    """Return whether a node's configuration has a data center."""
    return peer is None or peer in node.get("lag", {})


def _left(node: dict[str, Any], peer: str | None) -> int:
    """Return the comparisons of partitions that a node has still to make: with its replicas, or a data center."""
    return comparisons_left(node, peer) if peer is not None else sum(node.get("comparing", {}).values())


def _hint_rows(dc: str, nodes: _Status) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, node in nodes.items():
        if node is None:
            continue
        dropped, hints = node.get("needing_repair", []), node.get("hints", {})
        for target in sorted({*hints, *dropped}):
            kept = hints.get(target, {"rows": 0, "bytes": 0, "age_s": 0.0})
            rows.append((dc, name, target, kept["rows"], kept["bytes"], kept["age_s"], target in dropped))
    return rows


def _repaired(node: dict[str, Any]) -> int:
    counters = node.get("counters", {})
    return int(counters.get("merkle_repaired", 0)) + int(counters.get("geo_repaired", 0))
