"""`get`, `put`, `delete`, `incr`, `set`, `scan`: single keys. The verbs for types with members are in `collections`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.arguments import only_for, parsed_number, parsed_value
from crdtkv.cli.options import (
    AsText,
    BucketName,
    ConfigFile,
    Datacenter,
    Json,
    Key,
    LevelText,
    Prefix,
    Timeout,
    Ttl,
    TypeName,
)
from crdtkv.cli.output import EXIT_NO, as_json, done, named, say, shown, table
from crdtkv.cli.session import with_client
from crdtkv.cli.showing import WITH_SIBLINGS, cell_of, fields_of, print_read
from crdtkv.client.client import Client
from crdtkv.client.entry import ValueEntry
from crdtkv.client.written import Written
from crdtkv.crdt.number import Number
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET

_CONFIG = Path("datacenters.yaml")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(get)
    app.command()(put)
    app.command()(delete)
    app.command()(incr)
    app.command("set")(set_)
    app.command()(scan)


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
    """Print the value of a key of any type; exit code 1 if it has none, or is a flag that is off."""

    async def act(client: Client) -> ValueEntry[Any]:
        return await client.bucket(bucket).of_type(type_tag, key).entry()

    if not print_read(type_tag, shown(key), named(key), with_client(config, dc, level, timeout, act), json_output):
        raise typer.Exit(EXIT_NO)


def put(
    key: Key,
    value: Annotated[str, typer.Argument(help="The value: JSON, or else plain text.")],
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[str, typer.Option("--type", "-t", help="register or lww.")] = "register",
    text: AsText = False,
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Write a value; it replaces the current one."""
    only_for("put", type_tag, ("register", "lww"))

    async def act(client: Client) -> Written:
        handle: Any = client.bucket(bucket).of_type(type_tag, key)
        written: Written = await handle.put(parsed_value(value, text), ttl=ttl)
        return written

    names = with_client(config, dc, level, timeout, act).datacenters
    done(json_output, key, f"wrote {shown(key)}" + (f", durable in {', '.join(names)}" if names else ""))


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
    """Delete a key of any type but bcounter, or reset a counter; concurrent writes survive."""

    async def act(client: Client) -> None:
        await client.bucket(bucket).of_type(type_tag, key).delete()

    with_client(config, dc, level, timeout, act)
    done(json_output, key, f"deleted {shown(key)}")


def incr(
    key: Key,
    amount: Annotated[int, typer.Argument(help="How much; negative to decrement (put -- before it).")] = 1,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[str, typer.Option("--type", "-t", help="counter or bcounter.")] = "counter",
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Add to a counter and print the resulting value; exit code 1 if a bcounter has too little left."""
    only_for("incr", type_tag, ("counter", "bcounter"))
    if type_tag == "bcounter" and ttl is not None:
        raise InvalidRequest("a bcounter does not expire: leave out --ttl")

    async def act(client: Client) -> int:
        if type_tag == "counter":
            counter = client.bucket(bucket).counter(key)
            await counter.increment(amount, ttl=ttl)
            return await counter.value()
        bounded = client.bucket(bucket).bcounter(key)
        await (bounded.decrement(-amount) if amount < 0 else bounded.increment(amount))
        return await bounded.value()

    _print_value(json_output, key, with_client(config, dc, level, timeout, act))


def set_(
    key: Key,
    number: Annotated[str, typer.Argument(help="The number; put -- before a negative one.")],
    type_tag: Annotated[str, typer.Option("--type", "-t", help="maxreg or minreg.")],
    bucket: BucketName = DEFAULT_BUCKET,
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Set a number, which counts if it is the greatest (maxreg) or smallest (minreg); print the resulting number."""
    only_for("set", type_tag, ("maxreg", "minreg"))

    async def act(client: Client) -> Number | None:
        handle: Any = client.bucket(bucket).of_type(type_tag, key)
        await handle.set(parsed_number(number), ttl=ttl)
        return await handle.value()  # type: ignore[no-any-return]

    _print_value(json_output, key, with_client(config, dc, level, timeout, act))


def scan(
    prefix: Prefix = "",
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: TypeName = "register",
    limit: Annotated[int, typer.Option(help="Stop after so many keys; 0 for all.", min=0)] = 0,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 10.0,
    json_output: Json = False,
) -> None:
    """List keys of one type and their values, in ring order. With --json one object per line."""
    has_siblings = type_tag in WITH_SIBLINGS

    async def act(client: Client) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        count = 0
        async for key, entry in client.bucket(bucket).keys_of(type_tag).scan(prefix):
            count += 1
            if json_output:
                as_json({**named(key), **fields_of(type_tag, entry)})
            else:
                rows.append((shown(key), cell_of(type_tag, entry), *([len(entry.siblings)] if has_siblings else [])))
            if count == limit:
                break
        return rows

    rows = with_client(config, dc, level, timeout, act)
    if not json_output:
        table("", ("key", "value", "siblings")[: 3 if has_siblings else 2], rows)


def _print_value(json_output: bool, key: str, value: Number | None) -> None:
    if json_output:
        as_json({**named(key), "value": value})
    else:
        say(str(value))
