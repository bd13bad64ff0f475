"""`import`, `export`: JSON lines in and out, one record per line (`records`, `record_file`).

An import reads each key first and writes only differences (`restoring`), registers with the context it read. So a
second import changes nothing, an interrupted import continues when it is run again, and a value that another client
wrote meanwhile is kept as a sibling. If a key occurs twice, the last line is written.

An export is written beside the file it replaces, and replaces it when it is complete: if it fails, the earlier file
stays.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from crdtkv.cli import strict_json
from crdtkv.cli.options import BucketName, ConfigFile, Datacenter, Json, LevelText, Timeout
from crdtkv.cli.output import EXIT_NO, as_json, complain
from crdtkv.cli.record_file import Line, opened
from crdtkv.cli.records import Record, record_of
from crdtkv.cli.restoring import restore
from crdtkv.cli.session import with_client
from crdtkv.client.bucket import Bucket
from crdtkv.client.client import Client
from crdtkv.crdt.registry import TYPES
from crdtkv.errors import (
    CrdtkvError,
    InsufficientStorage,
    NoNodeReachable,
    Overloaded,
    ReadTimeout,
    StorageError,
    Unavailable,
    UnknownBucket,
    WriteTimeout,
)
from crdtkv.ids import DEFAULT_BUCKET
from crdtkv.storage.files import replacing

WORKERS = 128
RETRY_FOR_S = 60.0
#: Transient errors, such as those of a node that stops or restarts.
WAITED_OUT = (Unavailable, ReadTimeout, WriteTimeout, Overloaded, InsufficientStorage, NoNodeReachable)
_CONFIG = Path("datacenters.yaml")
_RARE = ("replaced", "left_out", "failed")


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
    """Write JSON lines into a bucket. Run it again to resume: records that are already stored are not written twice."""

    async def act(client: Client) -> "_Import":
        _require_bucket(client, bucket)
        with opened(file, sys.stdin.buffer) as records, _progress() as progress:
            task = progress.add_task("importing", total=records.size)
            records.survey()
            work = _Import(client.bucket(bucket), progress, task)
            await work.run(records.lines())
            return work

    began = time.monotonic()
    done = with_client(config, dc, level, timeout, act)
    seconds = time.monotonic() - began
    counts = {name: getattr(done, name) for name in ("written", "unchanged", "replaced", "left_out", "failed")}
    _report(json_output, seconds, **counts)
    if done.left_out:
        complain(f"{done.left_out} sketches (hll) were left out: add their elements again, no sketch can be written")
    if done.failed:
        complain(
            f"{done.failed} records were not written, the first because: {done.first_error}; run it again to resume"
        )
    if done.failed or done.left_out:
        raise typer.Exit(EXIT_NO)


def export(
    file: Annotated[Path | None, typer.Argument(help="The file to write; default standard output.")] = None,
    prefix: Annotated[str, typer.Option(help="Only keys with this prefix.")] = "",
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
        with exporting_to(file) as write, _progress() as progress:
            task = progress.add_task("exporting", total=None)
            async for record in _everything(client, bucket, os.fsencode(prefix)):
                write(strict_json.dumps(record, sort_keys=True) + "\n")
                count += 1
                if count % 500 == 0:
                    progress.update(task, records=count)
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
        self.written = self.unchanged = self.replaced = self.left_out = self.failed = 0
        self.first_error: CrdtkvError | None = None

    async def run(self, lines: Iterator[Line]) -> None:
        """Write all records that count."""

        async def work() -> None:
            for record, size in lines:
                if record is None:
                    self.replaced += 1
                else:
                    await self._one(record)
                count = self.written + self.unchanged + self.replaced + self.left_out
                self._progress.update(self._task, advance=size, records=count)

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())

    async def _one(self, record: Record) -> None:
        """Write one record; retry while a node stops or restarts."""
        deadline = time.monotonic() + RETRY_FOR_S
        pause_s = 0.05
        while True:
            try:
                has_written, left_out = await restore(self._bucket, record)
            except CrdtkvError as error:
                if not isinstance(error, WAITED_OUT) or time.monotonic() > deadline:
                    self.failed += 1
                    self.first_error = self.first_error or error
                    return
            else:
                self.left_out += left_out
                self.written += has_written
                self.unchanged += not has_written and not left_out
                return
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)


async def _everything(client: Client, bucket: str, prefix: bytes) -> AsyncIterator[Record]:
    for type_tag in TYPES:
        async for key, entry in client.bucket(bucket).keys_of(type_tag).scan(prefix):
            if entry.exists and entry.state is not None:
                yield record_of(key, entry.state, entry.expires_at_s)


@contextlib.contextmanager
def exporting_to(file: Path | None) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes lines to a file, which is replaced at the end, or to standard output.

    A pipe or a device is written directly.

    Raises:
        StorageError: it cannot be written; the earlier file stays.
    """
    try:
        if file is None or _is_standard_output(file):
            yield lambda line: sys.stdout.buffer.write(line.encode())
            sys.stdout.buffer.flush()
        elif file.exists() and not file.is_file():
            with file.open("w", encoding="utf-8") as stream:
                yield stream.write
        else:
            with replacing(file) as stream:
                yield stream.write
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"{file or 'standard output'}: cannot be written: {error.strerror}") from None


def _is_standard_output(file: Path) -> bool:
    """Return whether a name such as /dev/stdout, which may be a regular file, is standard output."""
    return str(file).startswith(("/dev/", "/proc/")) and os.path.samestat(file.stat(), os.fstat(1))


def _require_bucket(client: Client, bucket: str) -> None:
    if bucket not in client.buckets:
        raise UnknownBucket(f"unknown bucket {bucket!r}: one of {', '.join(client.buckets)}")


def _progress() -> Progress:
    """Return a progress bar on standard error; invisible if that is no terminal."""
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
        text = ", ".join(
            f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count or name not in _RARE
        )
        complain(f"{text} in {seconds:.1f} s ({rate:,.0f} records/s)")
