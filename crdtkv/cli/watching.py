"""`watch`: prints keys when they change, one line per change, until Ctrl-C."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.arguments import either
from crdtkv.cli.options import BucketName, ConfigFile, Datacenter, Json, Prefix, Timeout
from crdtkv.cli.output import as_json, complain, escaped, named, say, shown
from crdtkv.cli.session import with_client
from crdtkv.cli.showing import FLAGS, cell_of, fields_of
from crdtkv.client.change import CAUGHT_UP, Change
from crdtkv.client.client import Client
from crdtkv.crdt.registry import TYPES
from crdtkv.ids import DEFAULT_BUCKET

_CONFIG = Path("datacenters.yaml")
MARK = "--- these are the stored values; changes follow (Ctrl-C ends) ---"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(watch)


def watch(
    prefix: Prefix = "",
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[
        str | None, typer.Option("--type", "-t", help=f"{either(tuple(TYPES))}; default all of them.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Continue where a watch of the same keys ended.")] = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Print the current keys, a mark, then every change, until Ctrl-C. With --json one object per line."""

    async def act(client: Client) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        async with client.bucket(bucket).watch(prefix, of_type=type_tag, token=token) as found:
            try:
                async for change in found:
                    if change is CAUGHT_UP:
                        _print_mark(found.token, json_output)
                    else:
                        _print_change(change, json_output)
            except asyncio.CancelledError:  # Ctrl-C, or a signal of a supervisor
                _print_end(found.token, json_output)

    with_client(config, dc, None, timeout, act)


def _print_change(change: Change[Any], json_output: bool) -> None:
    if json_output:
        fields = {**named(change.key), "type": change.type_tag, "exists": not change.is_deleted}
        as_json({**fields, **fields_of(change.type_tag, change.entry)})
        return
    is_gone = change.is_deleted and change.type_tag not in FLAGS
    value = "(deleted)" if is_gone else escaped(cell_of(change.type_tag, change.entry))
    say(f"{change.type_tag} {shown(change.key)}: {value}")


def _print_mark(token: str, json_output: bool) -> None:
    if json_output:
        as_json({"caught_up": True, "token": token})
    else:
        say(MARK)


def _print_end(token: str, json_output: bool) -> None:
    if json_output:
        as_json({"ended": True, "token": token})
    else:
        complain(f"to continue from here: --token {token}")
