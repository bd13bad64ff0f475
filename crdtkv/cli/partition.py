"""`cut`, `heal`: network partitions between the data centers of a local cluster, for experiments."""

import asyncio
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from crdtkv.cli.options import ConfigFile
from crdtkv.cli.output import say
from crdtkv.config.loader import load
from crdtkv.errors import InvalidRequest

Data = Annotated[Path, typer.Option(help="The data directory of that cluster.")]
_CONFIG = Path("datacenters.yaml")
_DATA = Path("crdtkv-data")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(cut)
    app.command()(heal)


def cut(
    one: Annotated[str, typer.Argument(help="A data center.")],
    other: Annotated[str | None, typer.Argument(help="Another one; default all others.")] = None,
    config: ConfigFile = _CONFIG,
    data: Data = _DATA,
) -> None:
    """Cut the links between data centers of a cluster that runs with `crdtkv up --cuttable`."""
    for pair in _ask(config, data, one, other, is_cut=True):
        say(f"{pair[0]} and {pair[1]} are disconnected")


def heal(
    one: Annotated[str | None, typer.Argument(help="A data center; default all.")] = None,
    other: Annotated[str | None, typer.Argument(help="Another one; default all others.")] = None,
    config: ConfigFile = _CONFIG,
    data: Data = _DATA,
) -> None:
    """Restore the links between data centers that were cut."""
    for pair in _ask(config, data, one, other, is_cut=False):
        say(f"{pair[0]} and {pair[1]} are connected")


def _ask(config: Path, data: Path, one: str | None, other: str | None, is_cut: bool) -> list[tuple[str, str]]:
    from crdtkv.local.partitions import Cuts

    known = list(load(config).datacenters)
    for name in (one, other):
        if name is not None and name not in known:
            raise InvalidRequest(f"no data center {name!r}: {', '.join(known)}")
    named = {name for name in (one, other) if name is not None}
    if one is not None and one == other:
        raise InvalidRequest("name two different data centers")
    pairs = [pair for pair in combinations(known, 2) if named <= set(pair)]
    asyncio.run(Cuts(data).ask(pairs, is_cut))
    return pairs
