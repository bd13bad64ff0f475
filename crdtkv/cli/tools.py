"""`bench`, `decode`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from crdtkv.cli.workloads import Workload


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(bench)
    app.command()(decode)


def bench(
    operations: Annotated[str | None, typer.Option("--op", help="put, get or incr; several with commas.")] = None,
    workload: Annotated[
        str | None, typer.Option(help="Instead of --op, core workloads of YCSB: a to f; several with commas.")
    ] = None,
    level: LevelText = None,
    workers: Annotated[str, typer.Option(help="Concurrent workers; several with commas.")] = "1,64,256",
    seconds: Annotated[
        float, typer.Option(help="Duration of each measurement.", callback=seconds_within(0.01, DAY_S))
    ] = 5.0,
    count: Annotated[
        int | None, typer.Option("--operations", help="End each measurement after so many operations instead.", min=1)
    ] = None,
    value_bytes: Annotated[
        int, typer.Option("--value-bytes", "--value-size", help="Size of a value.", min=0, max=MAX_VALUE_BYTES - 8)
    ] = 100,
    keys: Annotated[int, typer.Option("--keys", "--records", help="Number of different keys.", min=1)] = 10_000,
    config: ConfigFile = Path("datacenters.yaml"),
    dc: Datacenter = None,
    json_output: Json = False,
) -> None:
    """Measure a running cluster from one client process: operations/s, latencies, CPU time per operation.

    Default levels: LOCAL_QUORUM for put, incr and all operations of a workload, ONE for get. Writes go to the bucket
    `default`, keys `bench:…`. The workloads: a, half reads, half updates; b, 5 % updates; c, only reads; d, reads of
    the latest records, 5 % inserts; e, scans of 1 to 100 records from a key on in ring order, 5 % inserts; f, half
    reads, half read-modify-write (`update`). Records are chosen with YCSB's zipfian distribution, in d with its latest.
    """
    from crdtkv.cli.benchmark import Measurement, Plan, measure
    from crdtkv.cli.cluster import run_loop

    counts = workers.split(",")
    if not all(one.strip().isdecimal() and int(one) > 0 for one in counts):
        raise InvalidRequest("--workers takes whole numbers from 1, with commas")
    plans = [
        Plan(one, level or ("ONE" if "get" in one.shares else "LOCAL_QUORUM"), int(number), seconds, count)
        for one in _loads(operations, workload)
        for number in counts
    ]
    results: list[Measurement] = run_loop(measure(config, dc, plans, value_bytes, keys))
    if json_output:
        as_json([result.as_dict() for result in results])
    else:
        table("", Measurement.COLUMNS, [result.row() for result in results])


def _loads(operations: str | None, names: str | None) -> "list[Workload]":
    """Return what to measure.

    Raises:
        InvalidRequest: there is no such operation or workload, or both were asked for.
    """
    from crdtkv.cli.workloads import YCSB, only

    if operations is not None and names is not None:
        raise InvalidRequest("--op and --workload exclude each other")
    if names is not None:
        chosen = [name.strip().lower() for name in names.split(",")]
        if not set(chosen) <= set(YCSB):
            raise InvalidRequest("--workload takes a to f")
        return [YCSB[name] for name in chosen]
    kinds = [kind.strip() for kind in (operations or "put,get").split(",")]
    if not set(kinds) <= {"put", "get", "incr"}:
        raise InvalidRequest("--op takes put, get and incr")
    return [only(kind) for kind in kinds]


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
