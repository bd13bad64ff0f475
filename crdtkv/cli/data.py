"""`get`, `put`, `delete`, `incr`, `scan`: single keys from the shell."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.causality.hybrid_clock import wall_ms_of
from crdtkv.cli.options import BucketName, ConfigFile, Datacenter, Json, LevelText, Timeout, TypeName
from crdtkv.cli.output import EXIT_NO, as_json, complain, jsonable, say, table
from crdtkv.cli.session import with_client
from crdtkv.client.bucket import Bucket, Keys
from crdtkv.client.client import Client
from crdtkv.client.entry import ValueEntry
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET, printable

Key = Annotated[str, typer.Argument(help="The key.")]
_CONFIG = Path("datacenters.yaml")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(get)
    app.command()(put)
    app.command()(delete)
    app.command()(incr)
    app.command()(scan)


def typed(client: Client, bucket: str, type_tag: str) -> Bucket[Any]:
    """Return the handle for keys of a type that has values.

    Raises:
        InvalidRequest: no such type.
    """
    handle: Bucket[Any] = client.bucket(bucket)
    match type_tag:
        case "register":
            return handle
        case "lww":
            return handle.lww()
    raise InvalidRequest(f"unknown type {type_tag!r}: register, lww or counter")


def get(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Print the value of a key; exit code 1 if it has none."""

    async def act(client: Client) -> ValueEntry[Any]:
        if type_tag == "counter":
            return await client.bucket(bucket).counter(key).entry()
        return await typed(client, bucket, type_tag).entry(key)

    entry = with_client(config, dc, level, timeout, act)
    if json_output:
        as_json({"key": key, "exists": entry.exists, **_fields(entry)})
    elif entry.exists:
        say(_shown(entry.value))
        if len(entry.siblings) > 1:
            complain(f"{len(entry.siblings)} concurrent values; the others:")
            for sibling in entry.siblings[1:]:
                complain(f"  {_shown(sibling)}")
    else:
        complain(f"{key} has no value")
    if not entry.exists:
        raise typer.Exit(EXIT_NO)


def put(
    key: Key,
    value: Annotated[str, typer.Argument(help="The value: JSON, or else plain text.")],
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    text: Annotated[bool, typer.Option("--text", help="Take the value as text even if it is JSON.")] = False,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Write a value; it replaces what is there."""
    parsed: Any = value
    if not text:
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
    with_client(config, dc, level, timeout, lambda client: typed(client, bucket, type_tag).put(key, parsed))
    _done(json_output, key, f"wrote {key}")


def delete(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Delete a key, or reset a counter; concurrent writes survive."""

    async def act(client: Client) -> None:
        if type_tag == "counter":
            await client.bucket(bucket).counter(key).delete()
        else:
            await typed(client, bucket, type_tag).delete(key)

    with_client(config, dc, level, timeout, act)
    _done(json_output, key, f"deleted {key}")


def incr(
    key: Key,
    amount: Annotated[int, typer.Argument(help="How much; negative to decrement (put -- before it).")] = 1,
    bucket: BucketName = DEFAULT_BUCKET,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Add to a counter and print its value as it is then read."""

    async def act(client: Client) -> int:
        counter = client.bucket(bucket).counter(key)
        await counter.increment(amount)
        return await counter.value()

    value = with_client(config, dc, level, timeout, act)
    if json_output:
        as_json({"key": key, "value": value})
    else:
        say(str(value))


def scan(
    prefix: Annotated[str, typer.Argument(help="What the keys begin with; default all.")] = "",
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    limit: Annotated[int, typer.Option(help="Stop after so many keys; 0 for all.")] = 0,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 10.0,
    json_output: Json = False,
) -> None:
    """List keys and values, in ring order. With --json one object per line."""

    async def act(client: Client) -> list[tuple[str, str, int]]:
        source: Keys = client.bucket(bucket).keys_of(type_tag)
        rows: list[tuple[str, str, int]] = []
        count = 0
        async for key, entry in source.scan(prefix):
            count += 1
            name = key if isinstance(key, str) else printable(key)
            if json_output:
                as_json({"key": name, **_fields(entry)})
            else:
                rows.append((name, _shown(entry.value), len(entry.siblings)))
            if count == limit:
                break
        return rows

    rows = with_client(config, dc, level, timeout, act)
    if not json_output:
        table("", ("key", "value", "siblings"), rows)


def _fields(entry: ValueEntry[Any]) -> dict[str, Any]:
    return {
        "value": entry.value,
        "siblings": entry.siblings,
        "timestamp_ms": wall_ms_of(entry.timestamp) or None,
        "context": repr(entry.context),
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=jsonable, ensure_ascii=False)


def _done(json_output: bool, key: str, text: str) -> None:
    if json_output:
        as_json({"key": key, "ok": True})
    else:
        say(text)
