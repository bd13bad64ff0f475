"""`bench`, `decode`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv import cbor
from crdtkv.cli.arguments import seconds as seconds_within
from crdtkv.cli.options import DAY_S, ConfigFile, Datacenter, Json, LevelText
from crdtkv.cli.output import as_json, named, table
from crdtkv.client.values import values_of
from crdtkv.crdt.entry import Entry
from crdtkv.errors import ConfigError, CrdtkvError, InvalidRequest
from crdtkv.ids import MAX_VALUE_BYTES, parse_identity
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import GeoBatch


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(bench)
    app.command()(decode)


def bench(
    operations: Annotated[str, typer.Option("--op", help="put, get or incr; several with commas.")] = "put,get",
    level: LevelText = None,
    workers: Annotated[str, typer.Option(help="Concurrent workers; several with commas.")] = "1,64,256",
    seconds: Annotated[
        float, typer.Option(help="Duration of each measurement.", callback=seconds_within(0.01, DAY_S))
    ] = 5.0,
    value_bytes: Annotated[int, typer.Option(help="Size of a value.", min=0, max=MAX_VALUE_BYTES - 8)] = 100,
    keys: Annotated[int, typer.Option(help="Number of different keys.", min=1)] = 10_000,
    config: ConfigFile = Path("datacenters.yaml"),
    dc: Datacenter = None,
    json_output: Json = False,
) -> None:
    """Measure a running cluster from one client process: operations/s, latencies, CPU time per operation.

    Default levels: LOCAL_QUORUM for put and incr, ONE for get. Writes go to the bucket `default`, keys `bench:…`.
    """
    from crdtkv.cli.benchmark import Measurement, Plan, measure
    from crdtkv.cli.cluster import run_loop

    counts = workers.split(",")
    if not all(count.strip().isdecimal() and int(count) > 0 for count in counts):
        raise InvalidRequest("--workers takes whole numbers from 1, with commas")
    plans = [
        Plan(operation.strip(), level or ("ONE" if operation.strip() == "get" else "LOCAL_QUORUM"), int(count), seconds)
        for operation in operations.split(",")
        for count in counts
    ]
    if any(plan.operation not in ("put", "get", "incr") for plan in plans):
        raise InvalidRequest("--op takes put, get and incr")
    results: list[Measurement] = run_loop(measure(config, dc, plans, value_bytes, keys))
    if json_output:
        as_json([result.as_dict() for result in results])
    else:
        table("", Measurement.COLUMNS, [result.row() for result in results])


def decode(
    file: Annotated[Path | None, typer.Argument(help="A payload; default standard input.")] = None,
) -> None:
    """Print a crdtkv message as JSON: for `nats stream view STREAM --translate 'crdtkv decode'`."""
    try:
        payload = file.read_bytes() if file is not None else sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    as_json(describe(payload))


def describe(payload: bytes) -> dict[str, Any]:
    """Return the content of a payload in a readable form.

    Raises:
        ProtocolError: it is no crdtkv message.
    """
    messages = decode_frame(payload).messages
    shown = [_batch(message) if isinstance(message, GeoBatch) else _plain(message) for message in messages]
    return shown[0] if len(shown) == 1 else {"messages": shown}


def _batch(batch: GeoBatch) -> dict[str, Any]:
    return {
        "message": "GeoBatch",
        "node": batch.node,
        "actor": batch.actor,
        "entries": [_row(row) for row in batch.rows],
    }


def _row(row: Any) -> dict[str, Any]:
    outbox_seq, identity, encoded = row
    try:
        key = parse_identity(identity)
        entry = Entry.from_peer(encoded, key.type_tag)
    except CrdtkvError as error:
        return {"outbox_seq": outbox_seq, "unreadable": str(error), "cbor": cbor.decode_own(encoded)}
    return {
        "outbox_seq": outbox_seq,
        "bucket": key.bucket,
        "type": key.type_tag,
        **named(key.key),
        "values": values_of(entry.state),
        "tombstone": entry.is_tombstone,
        "context": repr(entry.context),
    }


def _plain(message: Any) -> dict[str, Any]:
    return {"message": type(message).__name__, **message._asdict()}
