"""`import`, `export`: JSON lines in and out.

A record is one object per line: `{"key": …, "value": …}`, with `"type"` (`register` by default, `lww`, `counter`), and
`"siblings": […]` where there are concurrent values. What JSON cannot say is kept exactly: `"key_hex"` for keys that are
not UTF-8, `"cbor"` (hexadecimal) for values with bytes, dates and the like.

Importing reads each key first and writes only what differs, with the context it read: so importing twice changes
nothing, an interrupted import goes on when it is run again, and a value somebody wrote meanwhile is kept as a sibling.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from crdtkv import cbor
from crdtkv.cli.options import BucketName, ConfigFile, Datacenter, Json, LevelText, Timeout
from crdtkv.cli.output import EXIT_NO, as_json, complain
from crdtkv.cli.session import with_client
from crdtkv.client.bucket import Bucket
from crdtkv.client.client import Client
from crdtkv.client.entry import ValueEntry
from crdtkv.client.handles import CounterHandle
from crdtkv.errors import (
    ConfigError,
    CrdtkvError,
    InsufficientStorage,
    InvalidRequest,
    NoNodeReachable,
    Overloaded,
    ReadTimeout,
    Unavailable,
    UnknownBucket,
    WriteTimeout,
)
from crdtkv.ids import DEFAULT_BUCKET

WORKERS = 128
RETRY_FOR_S = 60.0
#: What a node that goes down or comes back causes, and what passes.
WAITED_OUT = (Unavailable, ReadTimeout, WriteTimeout, Overloaded, InsufficientStorage, NoNodeReachable)
_CONFIG = Path("datacenters.yaml")
_TYPES = ("register", "lww", "counter")

Record = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("import")(import_)
    app.command()(export)


def import_(
    file: Annotated[Path | None, typer.Argument(help="The JSON lines; default standard input.")] = None,
    bucket: BucketName = DEFAULT_BUCKET,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Write JSON lines into a bucket. Run it again to resume: what is there already is not written twice."""

    async def act(client: Client) -> "_Import":
        _require_bucket(client, bucket)
        with _open(file) as lines, _progress() as progress:
            total = file.stat().st_size if file is not None else None
            work = _Import(client.bucket(bucket), progress, progress.add_task("importing", total=total))
            await work.run(_records(lines, str(file or "standard input")))
            return work

    began = time.monotonic()
    done = with_client(config, dc, level, timeout, act)
    seconds = time.monotonic() - began
    _report(json_output, seconds, written=done.written, unchanged=done.unchanged, failed=done.failed)
    if done.failed:
        complain(
            f"{done.failed} records were not written, the first because: {done.first_error}; run it again to resume"
        )
        raise typer.Exit(EXIT_NO)


def export(
    file: Annotated[Path | None, typer.Argument(help="Where to write; default standard output.")] = None,
    prefix: Annotated[str, typer.Option(help="Only keys that begin with this.")] = "",
    bucket: BucketName = DEFAULT_BUCKET,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 10.0,
    json_output: Json = False,
) -> None:
    """Write the keys of a bucket, of all types, as JSON lines, in ring order."""

    async def act(client: Client) -> int:
        count = 0
        _require_bucket(client, bucket)
        target = _open(file, "w") if file is not None else sys.stdout
        try:
            with _progress() as progress:
                task = progress.add_task("exporting", total=None)
                async for record in _everything(client, bucket, prefix):
                    target.write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
                    count += 1
                    if count % 500 == 0:
                        progress.update(task, records=count)
        finally:
            if file is not None:
                target.close()
        return count

    began = time.monotonic()
    count = with_client(config, dc, level, timeout, act)
    if file is not None:
        _report(json_output, time.monotonic() - began, exported=count)


class _Import:
    """One import: many workers, one progress bar."""

    def __init__(self, bucket: Bucket[Any], progress: Progress, task: TaskID) -> None:
        self._bucket = bucket
        self._progress = progress
        self._task = task
        self.written = self.unchanged = self.failed = 0
        self.first_error: CrdtkvError | None = None

    async def run(self, records: Iterator[tuple[Record, int]]) -> None:
        """Write all records."""

        async def work() -> None:
            for record, size in records:
                await self._one(record)
                count = self.written + self.unchanged
                self._progress.update(self._task, advance=size, records=count)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work())
        except* CrdtkvError as errors:  # a line that is no record
            raise errors.exceptions[0] from None

    async def _one(self, record: Record) -> None:
        """Write one record; a node that goes down or comes back in the middle is waited for."""
        deadline = time.monotonic() + RETRY_FOR_S
        pause_s = 0.05
        while True:
            try:
                if await self._write(record):
                    self.written += 1
                else:
                    self.unchanged += 1
                return
            except CrdtkvError as error:
                if not isinstance(error, WAITED_OUT) or time.monotonic() > deadline:
                    self.failed += 1
                    self.first_error = self.first_error or error
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)

    async def _write(self, record: Record) -> bool:
        """Make the key hold what the record says; return whether anything had to be written."""
        key, type_tag = _record_key(record), record.get("type", "register")
        if type_tag == "counter":
            return await _count_up_to(self._bucket.counter(key), _record_values(record)[0])
        target = self._bucket.lww() if type_tag == "lww" else self._bucket
        if type_tag not in _TYPES:
            raise InvalidRequest(f"unknown type {type_tag!r} in a record: register, lww or counter")
        wanted = _record_values(record)
        present = await target.entry(key)
        if {cbor.encode_value(value) for value in wanted} == {cbor.encode_value(value) for value in present.siblings}:
            return False
        for value in reversed(wanted):  # the winner last, so that it has the highest timestamp
            await target.put(key, value, context=present.context if type_tag == "register" else None)
        return True


async def _count_up_to(counter: CounterHandle, wanted: Any) -> bool:
    if type(wanted) is not int:
        raise InvalidRequest(f"a counter's value is a whole number, not {wanted!r}")
    difference = wanted - await counter.value()
    if difference:
        await counter.increment(difference)
    return bool(difference)


async def _everything(client: Client, bucket: str, prefix: str) -> AsyncIterator[Record]:
    for type_tag in _TYPES:
        async for key, entry in client.bucket(bucket).keys_of(type_tag).scan(prefix):
            yield _to_record(key, type_tag, entry)


def _to_record(key: str | bytes, type_tag: str, entry: ValueEntry[Any]) -> Record:
    record: Record = {"key": key} if isinstance(key, str) else {"key_hex": key.hex()}
    if type_tag != "register":
        record["type"] = type_tag
    record.update(_to_json(entry.value))
    if len(entry.siblings) > 1:
        record["siblings"] = [_to_json(value) for value in entry.siblings]
    return record


def _to_json(value: Any) -> Record:
    """Return `{"value": …}` if JSON brings it back exactly, else `{"cbor": …}`."""
    try:
        if cbor.encode_value(json.loads(json.dumps(value))) == cbor.encode_value(value):
            return {"value": value}
    except (TypeError, ValueError):
        pass
    return {"cbor": cbor.encode_value(value).hex()}


def _record_key(record: Record) -> str | bytes:
    if isinstance(record.get("key"), str):
        return str(record["key"])
    if isinstance(record.get("key_hex"), str):
        return _unhex(record["key_hex"])
    raise InvalidRequest('a record has "key" (text) or "key_hex"')


def _record_values(record: Record) -> list[Any]:
    """Return the values of a record, the winner first."""
    forms = record.get("siblings") or [record]
    if not isinstance(forms, list) or not all(isinstance(form, dict) for form in forms):
        raise InvalidRequest('"siblings" is a list of objects with "value" or "cbor"')
    values: list[Any] = []
    for form in forms:
        if "cbor" in form:
            values.append(cbor.decode_value(_unhex(form["cbor"])))
        elif "value" in form:
            values.append(form["value"])
        else:
            raise InvalidRequest('a record has "value" or "cbor"')
    return values


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError):
        raise InvalidRequest(f"not hexadecimal: {text!r}") from None


def _records(lines: TextIO, source: str) -> Iterator[tuple[Record, int]]:
    """Yield each record with its size in bytes."""
    for number, line in enumerate(_readable(lines, source), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{source}, line {number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise ConfigError(f"{source}, line {number}: a record is an object")
        yield record, len(line.encode())


def _readable(lines: TextIO, source: str) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8: {error}") from None


def _open(file: Path | None, mode: str = "r") -> TextIO:
    try:
        return cast(TextIO, file.open(mode, encoding="utf-8")) if file is not None else sys.stdin
    except OSError as error:
        raise ConfigError(f"{file}: cannot be opened: {error.strerror}") from None


def _require_bucket(client: Client, bucket: str) -> None:
    if bucket not in client.buckets:
        raise UnknownBucket(f"unknown bucket {bucket!r}: one of {', '.join(client.buckets)}")


def _progress() -> Progress:
    """Return a progress bar on standard error; invisible when that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    add_task = progress.add_task
    progress.add_task = lambda *args, **fields: add_task(*args, records=0, **fields)  # type: ignore[method-assign]
    return progress


def _report(json_output: bool, seconds: float, **counts: int) -> None:
    rate = sum(counts.values()) / seconds if seconds else 0.0
    if json_output:
        as_json({**counts, "seconds": round(seconds, 3), "records_per_s": round(rate)})
    else:
        text = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name != "failed")
        complain(f"{text} in {seconds:.1f} s ({rate:,.0f} records/s)")
