"""Records: one key, or one field of a map, as a JSON object, written by `export` and read by `import`.

`{"key": …, "value": …}`, with `"type"` unless it is a register, and `"expires_at_s"` if all of it expires:

| type | |
|---|---|
| register, lww | `"value"`; `"siblings": [{"value": …}, …]` where there are concurrent ones, the winner first |
| counter, bcounter, maxreg, minreg, flag, dwflag | `"value"` |
| set, rwset, gset | `"members": [{"value": …}, …]`, sorted by encoding |
| board | `"scores": [{"value": member, "score": …}, …]`, the highest first |
| map | `"fields": [record, …]`, each with `"field"` in the place of `"key"` |
| hll | `"value"`, the count, and `"sketch"`, hexadecimal |

Other fields are an error, because they would be dropped. Values that JSON cannot represent are kept exactly:
`"key_hex"` (`"field_hex"`) for names that are not UTF-8, `"cbor"` (hexadecimal) in place of any `"value"` that contains
bytes, dates and the like. A record is made from the stored state, not from Python values, for which 1, 1.0 and True
would be one member.
"""

from collections.abc import Callable, Collection
from typing import Any

from crdtkv import cbor
from crdtkv.cli import strict_json
from crdtkv.client.values import values_of
from crdtkv.crdt.board import Board
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.hll import HyperLogLog, registers_of
from crdtkv.crdt.map import Map
from crdtkv.crdt.number import Number, is_number, rank
from crdtkv.crdt.registry import TYPES
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet
from crdtkv.errors import InvalidRequest
from crdtkv.ids import key_bytes

Record = dict[str, Any]
#: Types that only grow: every record of a key counts.
GROWING = ("gset", "maxreg", "minreg", "hll")
_DEFAULT_TYPE = "register"
_FORM = frozenset(("value", "cbor"))


def record_of(name: str | bytes, state: CausalState, expires_at_s: float | None = None, named: str = "key") -> Record:
    """Return the record of an existing key or field."""
    record: Record = {named: name} if isinstance(name, str) else {f"{named}_hex": name.hex()}
    if state.type_tag != _DEFAULT_TYPE:
        record["type"] = state.type_tag
    if expires_at_s is not None:
        record["expires_at_s"] = expires_at_s
    record.update(_content_of(state))
    return record


def check_record(record: Record, named: str = "key") -> None:
    """Check that a record has only known fields, with valid values.

    Raises:
        InvalidRequest, InvalidKey, ProtocolError: it is no record.
    """
    type_tag = type_in(record)
    content, read = _READ[type_tag]
    known = {named, f"{named}_hex", "type", *content} | ({"expires_at_s"} if named == "key" else set())
    key_bytes(name_in(record, named))
    expiry_in(record)
    read(record)
    _refuse_others(record, known)


def succeeded(earlier: Record | None, later: Record) -> Record:
    """Return the record of a map that is equivalent to importing two of them, one after the other.

    Fields of types that only grow are joined if both have them.
    """
    before = {_field_key(field): field for field in fields_in(earlier)} if earlier is not None else {}
    return {**later, "fields": [_succeeded_field(before.get(_field_key(field)), field) for field in fields_in(later)]}


def name_in(record: Record, named: str = "key") -> str | bytes:
    """Return the key, or field's name, of a record."""
    if named in record and f"{named}_hex" in record:
        raise InvalidRequest(f'a record has "{named}" or "{named}_hex", not both')
    if isinstance(record.get(named), str):
        return str(record[named])
    if isinstance(record.get(f"{named}_hex"), str):
        return _unhex(record[f"{named}_hex"])
    raise InvalidRequest(f'a record has "{named}" (text) or "{named}_hex"')


def type_in(record: Record) -> str:
    """Return the type of a record."""
    type_tag = record.get("type", _DEFAULT_TYPE)
    if not isinstance(type_tag, str) or type_tag not in TYPES:
        raise InvalidRequest(f"unknown type {type_tag!r} in a record: {', '.join(TYPES)}")
    return type_tag


def expiry_in(record: Record) -> float | None:
    """Return when all of a record expires, Unix seconds, None for never."""
    expires_at_s = record.get("expires_at_s")
    if expires_at_s is not None and not is_number(expires_at_s):
        raise InvalidRequest('"expires_at_s" is a number')
    return expires_at_s


def values_in(record: Record) -> list[bytes]:
    """Return the encoded values of a register or lww record, the winner first."""
    if "siblings" not in record:
        return [_encoded(record)]
    values = list(dict.fromkeys(_forms(record, "siblings")))
    if not values or (_FORM & record.keys() and _encoded(record) != values[0]):
        raise InvalidRequest('"siblings" are one value or more, the first of them the "value"')
    return values


def whole_in(record: Record) -> int:
    """Return the value of a counter's record."""
    value = record.get("value")
    if type(value) is not int:
        raise InvalidRequest(f"a counter's value is a whole number, not {value!r}")
    return value


def number_in(record: Record, name: str = "value") -> Number:
    """Return the number of a maxreg's or minreg's record, or a member's score."""
    value = record.get(name)
    if not is_number(value):
        raise InvalidRequest(f'"{name}" is a finite number of 64 bits, not {value!r:.40}')
    return value


def flag_in(record: Record) -> bool:
    """Return whether a flag's record is on."""
    value = record.get("value")
    if type(value) is not bool:
        raise InvalidRequest(f"a flag's value is true or false, not {value!r:.40}")
    return value


def members_in(record: Record) -> list[bytes]:
    """Return the encoded members of a set's record."""
    return _forms(record, "members")


def scores_in(record: Record) -> dict[bytes, Number]:
    """Return encoded members and scores of a board's record."""
    scores: dict[bytes, Number] = {}
    for form in _objects(record, "scores"):
        _refuse_others(form, {*_FORM, "score"})
        member = _encoded(form)
        if member in scores:
            raise InvalidRequest(f"a board has a member once, not {form!r:.80} again")
        scores[member] = number_in(form, "score")
    return scores


def fields_in(record: Record) -> list[Record]:
    """Return the records of a map's fields."""
    fields = _objects(record, "fields")
    names = set()
    for field in fields:
        if _field_key(field) in names:
            raise InvalidRequest(f"a map has a field once, not {name_in(field, 'field')!r:.80} again")
        names.add(_field_key(field))
    return fields


def sketch_in(record: Record) -> bytes:
    """Return the sketch of an hll's record."""
    if not isinstance(record.get("sketch"), str):
        raise InvalidRequest('an hll\'s record has "sketch"')
    if "value" in record and type(record["value"]) is not int:
        raise InvalidRequest("an hll's value is its count, a whole number")
    sketch = _unhex(record["sketch"])
    registers_of(sketch)
    return sketch


def _content_of(state: CausalState) -> Record:
    content = _CONTENTS.get(type(state))
    if content is not None:
        return content(state)
    values = values_of(state)
    if len(values) > 1:
        return {**_form(cbor.encode_value(values[0])), "siblings": [_form(cbor.encode_value(one)) for one in values]}
    return _form(cbor.encode_value(values[0]))


def _members_of(state: AddWinsSet | RemoveWinsSet) -> Record:
    return {"members": [_form(member) for member in state.members]}


#: By the class of the state, the content of its record; other classes have the values.
_CONTENTS: dict[type, Callable[[Any], Record]] = {
    **{TYPES[type_tag]: _members_of for type_tag in ("set", "rwset", "gset")},
    Board: lambda board: {"scores": [{**_form(member), "score": score} for member, score in board.ranking()]},
    Map: lambda fields: {
        "fields": [record_of(_text(name), state, None, "field") for (_, name), state in fields.shown()]
    },
    HyperLogLog: lambda sketch: {"value": sketch.count, "sketch": sketch.joined.hex()},
}


def _check_fields(record: Record) -> None:
    for field in fields_in(record):
        check_record(field, "field")


#: By type, the fields of its records besides the name, and the function that reads them.
_READ: dict[str, tuple[tuple[str, ...], Callable[[Record], object]]] = {
    "register": (("value", "cbor", "siblings"), values_in),
    "lww": (("value", "cbor"), values_in),
    **dict.fromkeys(("counter", "bcounter"), (("value",), whole_in)),
    **dict.fromkeys(("maxreg", "minreg"), (("value",), number_in)),
    **dict.fromkeys(("flag", "dwflag"), (("value",), flag_in)),
    **dict.fromkeys(("set", "rwset", "gset"), (("members",), members_in)),
    "board": (("scores",), scores_in),
    "map": (("fields",), _check_fields),
    "hll": (("value", "sketch"), sketch_in),
}


def _field_key(field: Record) -> tuple[str, bytes]:
    return type_in(field), key_bytes(name_in(field, "field"))


def _succeeded_field(earlier: Record | None, later: Record) -> Record:
    if earlier is None:
        return later
    match type_in(later):
        case "map":
            return succeeded(earlier, later)
        case "gset":
            return {**later, "members": [*earlier["members"], *later["members"]]}
        case "maxreg":
            return {**later, "value": max(earlier["value"], later["value"], key=rank)}
        case "minreg":
            return {**later, "value": min(earlier["value"], later["value"], key=rank)}
    return later


def _form(encoded: bytes) -> Record:
    """Return `{"value": …}` if JSON represents a value exactly, else `{"cbor": …}`."""
    try:
        value = cbor.decode_value(encoded)
        if cbor.encode_value(strict_json.loads(strict_json.dumps(value))) == encoded:
            return {"value": value}
    except (TypeError, ValueError):
        pass
    return {"cbor": encoded.hex()}


def _forms(record: Record, name: str) -> list[bytes]:
    forms = _objects(record, name)
    for form in forms:
        _refuse_others(form, _FORM)
    return [_encoded(form) for form in forms]


def _refuse_others(record: Record, known: Collection[str]) -> None:
    others = sorted(record.keys() - set(known))
    if others:
        raise InvalidRequest(f'a record has no "{others[0]:.40}" here: remove it, it would be ignored')


def _encoded(form: Record) -> bytes:
    if "cbor" in form and "value" in form:
        raise InvalidRequest('a record has "value" or "cbor", not both')
    if "cbor" in form:
        return cbor.encode_value(cbor.decode_value(_unhex(form["cbor"])))
    if "value" in form:
        return cbor.encode_value(form["value"])
    raise InvalidRequest('a record has "value" or "cbor"')


def _objects(record: Record, name: str) -> list[Record]:
    forms = record.get(name)
    if not isinstance(forms, list) or not all(isinstance(form, dict) for form in forms):
        raise InvalidRequest(f'"{name}" is a list of objects, each with "value" or "cbor"')
    return forms


def _text(name: bytes) -> str | bytes:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _unhex(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError):
        raise InvalidRequest(f"not hexadecimal: {text!r:.80}") from None
