"""`add`, `remove`, `members`, `enable`, `disable`, `score`, `ranking`: sets, sketches, flags and boards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.arguments import no_nan, only_for, parsed_member, parsed_number
from crdtkv.cli.options import AsText, BucketName, ConfigFile, Datacenter, Json, Key, LevelText, Timeout, Ttl
from crdtkv.cli.output import EXIT_NO, as_json, complain, done, in_order, named, say, shown
from crdtkv.cli.session import with_client
from crdtkv.cli.showing import FLAGS, RANKING, SETS, Ranked, members_of, print_members, print_ranking, ranked
from crdtkv.client.client import Client
from crdtkv.client.handles import RemovableSetHandle
from crdtkv.crdt.number import Number
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET

_CONFIG = Path("datacenters.yaml")
_REMOVABLE = ("set", "rwset")

_Members = Annotated[list[str], typer.Argument(help="Members: JSON, or else plain text.", show_default=False)]
_Member = Annotated[str, typer.Argument(help="The member: JSON, or else plain text.")]
_FlagType = Annotated[str, typer.Option("--type", "-t", help="flag or dwflag.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(add)
    app.command()(remove)
    app.command()(members)
    app.command()(enable)
    app.command()(disable)
    app.command()(score)
    app.command()(ranking)


def add(
    key: Key,
    members: _Members,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[str, typer.Option("--type", "-t", help="set, rwset, gset or hll.")] = "set",
    text: AsText = False,
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Add members to a set, or elements to a count of distinct elements (hll)."""
    only_for("add", type_tag, (*SETS, "hll"))

    async def act(client: Client) -> None:
        handle: Any = client.bucket(bucket).of_type(type_tag, key)
        await handle.add(*[parsed_member(member, text) for member in members], ttl=ttl)

    with_client(config, dc, level, timeout, act)
    done(json_output, key, f"added {len(members)} to {shown(key)}")


def remove(
    key: Key,
    members: _Members,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[str, typer.Option("--type", "-t", help="set, rwset or board.")] = "set",
    text: AsText = False,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Remove members of a set or board, whether they exist or not; concurrent adds survive, except in an rwset."""
    only_for("remove", type_tag, (*_REMOVABLE, "board"))

    async def act(client: Client) -> None:
        gone = [parsed_member(member, text) for member in members]
        handle = client.bucket(bucket).of_type(type_tag, key)
        if isinstance(handle, RemovableSetHandle):
            await handle.remove(*gone)
            return
        board = client.bucket(bucket).board(key)
        for member in gone:
            await board.remove(member)

    with_client(config, dc, level, timeout, act)
    done(json_output, key, f"removed {len(members)} from {shown(key)}")


def members(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: Annotated[str, typer.Option("--type", "-t", help="set, rwset, gset or board.")] = "set",
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Print the members of a set or board, one a line, sorted; exit code 1 if there are none."""
    only_for("members", type_tag, (*SETS, "board"))

    async def act(client: Client) -> list[Any]:
        entry = await client.bucket(bucket).of_type(type_tag, key).entry()
        return in_order(member for _, member, _ in ranked(entry)) if type_tag == "board" else members_of(entry)

    found = with_client(config, dc, level, timeout, act)
    if json_output:
        as_json({**named(key), "members": found})
    elif found:
        print_members(found)
    else:
        complain(f"{shown(key)} has no members")
    if not found:
        raise typer.Exit(EXIT_NO)


def enable(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: _FlagType = "flag",
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Turn a flag on."""
    only_for("enable", type_tag, FLAGS)

    async def act(client: Client) -> None:
        handle: Any = client.bucket(bucket).of_type(type_tag, key)
        await handle.enable(ttl=ttl)

    with_client(config, dc, level, timeout, act)
    done(json_output, key, f"{shown(key)} is on")


def disable(
    key: Key,
    bucket: BucketName = DEFAULT_BUCKET,
    type_tag: _FlagType = "flag",
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Turn a flag off; a concurrent enable wins for a flag, and loses for a dwflag."""
    only_for("disable", type_tag, FLAGS)

    async def act(client: Client) -> None:
        handle: Any = client.bucket(bucket).of_type(type_tag, key)
        await handle.disable()

    with_client(config, dc, level, timeout, act)
    done(json_output, key, f"{shown(key)} is off")


def score(
    key: Key,
    member: _Member,
    number: Annotated[str, typer.Argument(help="The score; put -- before a negative one.")],
    is_added: Annotated[bool, typer.Option("--add", help="Add the number to the member's score.")] = False,
    bucket: BucketName = DEFAULT_BUCKET,
    text: AsText = False,
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Set the score of a board's member, or add to it, and print the resulting score."""
    who = parsed_member(member, text)

    async def act(client: Client) -> Number | None:
        board = client.bucket(bucket).board(key)
        await (board.increment if is_added else board.set)(who, parsed_number(number), ttl=ttl)
        return await board.score(who)

    value = with_client(config, dc, level, timeout, act)
    if json_output:
        as_json({**named(key), "member": who, "score": value})
    else:
        say(str(value))


def ranking(
    key: Key,
    start: Annotated[int | None, typer.Option("--from", help="The first rank; 0 is the highest score.")] = None,
    stop: Annotated[int | None, typer.Option("--to", help="The rank to stop before; negative from the end.")] = None,
    low: Annotated[float | None, typer.Option(help="Only scores from this on.", callback=no_nan)] = None,
    high: Annotated[float | None, typer.Option(help="Only scores up to this.", callback=no_nan)] = None,
    bucket: BucketName = DEFAULT_BUCKET,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Print a board's ranks, members and scores, all or some of them; exit code 1 if there are none."""
    if (start is not None or stop is not None) and (low is not None or high is not None):
        raise InvalidRequest("choose by rank (--from, --to) or by score (--low, --high), not by both")

    async def act(client: Client) -> list[Ranked]:
        return ranked(await client.bucket(bucket).board(key).entry())[start:stop]

    found = [row for row in with_client(config, dc, level, timeout, act) if _is_between(row[2], low, high)]
    if json_output:
        as_json([dict(zip(RANKING, row, strict=True)) for row in found])
    elif found:
        print_ranking(found)
    else:
        complain(
            f"{shown(key)} has no members there" if start or stop or low or high else f"{shown(key)} has no members"
        )
    if not found:
        raise typer.Exit(EXIT_NO)


def _is_between(score: Number, low: float | None, high: float | None) -> bool:
    return (low is None or low <= score) and (high is None or score <= high)
