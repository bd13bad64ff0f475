"""`field`: one field of a map, read or written.

A path is the type and name of a field, after those of the maps that contain it: `register:name`,
`map:address/register:street`. Only maps have fields, so a slash in any other name is a part of that name.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from crdtkv.cli.arguments import either, parsed_member, parsed_number, parsed_value
from crdtkv.cli.options import AsText, BucketName, ConfigFile, Datacenter, Json, Key, LevelText, Timeout, Ttl
from crdtkv.cli.output import EXIT_NO, as_json, escaped, named, say, shown
from crdtkv.cli.session import with_client
from crdtkv.cli.showing import print_read
from crdtkv.client.client import Client
from crdtkv.client.container import Container
from crdtkv.client.entry import ValueEntry
from crdtkv.client.handles import Handle
from crdtkv.crdt.map import FIELD_TYPES
from crdtkv.errors import InvalidRequest
from crdtkv.ids import DEFAULT_BUCKET

_CONFIG = Path("datacenters.yaml")
#: By type, the operations on a field besides `get` and `delete`, and their arguments.
_WRITES: dict[str, dict[str, str]] = {
    "register": {"put": "VALUE"},
    "lww": {"put": "VALUE"},
    "counter": {"increment": "[NUMBER]", "decrement": "[NUMBER]"},
    "set": {"add": "MEMBER…", "remove": "MEMBER…"},
    "rwset": {"add": "MEMBER…", "remove": "MEMBER…"},
    "gset": {"add": "MEMBER…"},
    "flag": {"enable": "", "disable": ""},
    "dwflag": {"enable": "", "disable": ""},
    "maxreg": {"set": "NUMBER"},
    "minreg": {"set": "NUMBER"},
    "hll": {"add": "MEMBER…"},
    "board": {"set": "MEMBER NUMBER", "increment": "MEMBER [NUMBER]", "remove": "MEMBER"},
    "map": {},
}
_WITHOUT_TTL = ("remove", "disable", "delete")
_END_OF_MAP = re.compile(rf"/(?=(?:{'|'.join(_WRITES)}):)")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(field)


def field(
    key: Key,
    path: Annotated[str, typer.Argument(help="The field: register:name, or map:address/register:street.")],
    operation: Annotated[str, typer.Argument(help="get, delete, or an operation of its type, such as put.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="The arguments of the operation: a value, members, a number.")
    ] = None,
    bucket: BucketName = DEFAULT_BUCKET,
    text: AsText = False,
    ttl: Ttl = None,
    config: ConfigFile = _CONFIG,
    dc: Datacenter = None,
    level: LevelText = None,
    timeout: Timeout = 5.0,
    json_output: Json = False,
) -> None:
    """Read or write one field of a map; get exits with 1 if the field does not exist."""
    fields = fields_on(path)
    type_tag = fields[-1][0]
    values = parsed(type_tag, operation, arguments or [], text)
    times: dict[str, float | None] = {} if operation in ("get", *_WITHOUT_TTL) else {"ttl": ttl}
    if ttl is not None and not times:
        raise InvalidRequest(f"{operation} takes no --ttl")

    async def act(client: Client) -> ValueEntry[Any] | None:
        handle: Any = field_of(client.bucket(bucket), key, fields)
        if operation == "get":
            return await handle.entry()  # type: ignore[no-any-return]
        await getattr(handle, operation)(*values, **times)
        return None

    entry = with_client(config, dc, level, timeout, act)
    if entry is not None:
        if not print_read(
            type_tag, f"{escaped(path)} of {shown(key)}", {**named(key), "field": path}, entry, json_output
        ):
            raise typer.Exit(EXIT_NO)
    elif json_output:
        as_json({**named(key), "field": path, "ok": True})
    else:
        say(f"{'deleted' if operation == 'delete' else 'wrote'} {escaped(path)} of {shown(key)}")


def fields_on(path: str) -> list[tuple[str, str]]:
    """Return the types and names of the fields on a path.

    Raises:
        InvalidRequest: it is no path.
    """
    fields: list[tuple[str, str]] = []
    rest = path
    while True:
        type_tag, colon, name = rest.partition(":")
        if not colon or not name or type_tag not in FIELD_TYPES:
            raise InvalidRequest(
                f"a path is type:name, such as register:name or map:address/register:street, not {path!r}; the types "
                f"are {', '.join(FIELD_TYPES)}"
            )
        end = _END_OF_MAP.search(name) if type_tag == "map" else None
        if end is None:
            return [*fields, (type_tag, name)]
        fields.append((type_tag, name[: end.start()]))
        rest = name[end.end() :]


def field_of(container: Container, key: str, fields: list[tuple[str, str]]) -> Handle[Any]:
    """Return the handle of a field of a map."""
    inside = container.map(key)
    for _, name in fields[:-1]:
        inside = inside.map(name)
    return inside.of_type(*fields[-1])


def parsed(type_tag: str, operation: str, arguments: list[str], as_text: bool = False) -> list[Any]:
    """Return the arguments of an operation as values.

    Raises:
        InvalidRequest: the type has no such operation, or the operation takes other arguments.
    """
    shapes = {"get": "", **_WRITES[type_tag], "delete": ""}
    if operation not in shapes:
        raise InvalidRequest(f"a {type_tag} knows {either(tuple(shapes))}, not {operation!r}")
    words = shapes[operation].split()
    least = sum(not word.startswith("[") for word in words)
    many = words[-1:] * (len(arguments) - len(words)) if shapes[operation].endswith("…") else []
    if not least <= len(arguments) <= len(words) + len(many):
        raise InvalidRequest(f"{operation} of a {type_tag} takes {shapes[operation] or 'no arguments'}")
    return [_parsed_one(word, argument, as_text) for word, argument in zip([*words, *many], arguments, strict=False)]


def _parsed_one(word: str, argument: str, as_text: bool) -> Any:
    match word.strip("[]…"):
        case "NUMBER":
            return parsed_number(argument)
        case "MEMBER":
            return parsed_member(argument, as_text)
    return parsed_value(argument, as_text)
