"""Formats read values: for every type as readable text, and as a JSON document for programs."""

from typing import Any

from crdtkv.causality.hybrid_clock import wall_ms_of
from crdtkv.cli.output import as_json, complain, escaped, in_order, member_text, say, table, value_text
from crdtkv.client.codecs import CBOR
from crdtkv.client.entry import ValueEntry
from crdtkv.client.values import element_value
from crdtkv.crdt.board import Board
from crdtkv.crdt.number import Number
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet

SETS = ("set", "rwset", "gset")
FLAGS = ("flag", "dwflag")
RANKING = ("rank", "member", "score")
#: The types whose concurrent writes are printed one by one.
WITH_SIBLINGS = ("register", "lww")

Ranked = tuple[int, Any, Number]


def members_of(entry: ValueEntry[Any]) -> list[Any]:
    """Return the members of a set that was read, in order; 1 and true, which are equal in Python, are two members."""
    stored = entry.state.members if isinstance(entry.state, (AddWinsSet, RemoveWinsSet)) else []
    return in_order(element_value(member, CBOR) for member in stored)


def ranked(entry: ValueEntry[Any]) -> list[Ranked]:
    """Return ranks, members and scores of a board that was read, rank 0 for the highest score."""
    stored = entry.state.ranking() if isinstance(entry.state, Board) else []
    return [(rank, element_value(member, CBOR), score) for rank, (member, score) in enumerate(stored)]


def fields_of(type_tag: str, entry: ValueEntry[Any]) -> dict[str, Any]:
    """Return a read value as the fields of a JSON document."""
    fields: dict[str, Any] = {"value": document_of(type_tag, entry)}
    if type_tag in WITH_SIBLINGS:
        fields["siblings"] = entry.siblings
    fields["timestamp_ms"] = wall_ms_of(entry.timestamp) or None
    if entry.expires_at_s is not None:
        fields["expires_at_s"] = entry.expires_at_s
    fields["context"] = repr(entry.context)
    return fields


def document_of(type_tag: str, entry: ValueEntry[Any]) -> Any:
    """Return a read value for JSON."""
    if type_tag in FLAGS:
        return entry.exists
    if type_tag in SETS and entry.exists:
        return members_of(entry)
    if type_tag == "board" and entry.exists:
        return [dict(zip(RANKING, row, strict=True)) for row in ranked(entry)]
    return entry.value


def cell_of(type_tag: str, entry: ValueEntry[Any]) -> str:
    """Return a value for a cell of a table."""
    if type_tag in FLAGS:
        return on_or_off(entry)
    if type_tag in SETS:
        return ", ".join(map(member_text, members_of(entry)))
    if type_tag == "board":
        return ", ".join(f"{member_text(member)} {score}" for _, member, score in ranked(entry))
    return value_text(entry.value)


def print_read(type_tag: str, what: str, names: dict[str, str], entry: ValueEntry[Any], json_output: bool) -> bool:
    """Print a read key or field; return whether it has a value (a flag that is off has none).

    `what` is its name in text, `names` in a JSON document.
    """
    if json_output:
        as_json({**names, "exists": entry.exists, **fields_of(type_tag, entry)})
    elif type_tag in FLAGS:
        say(on_or_off(entry))
    elif not entry.exists:
        complain(f"{what} has no value")
    elif type_tag in SETS:
        print_members(members_of(entry))
    elif type_tag == "board":
        print_ranking(ranked(entry))
    else:
        say(value_text(entry.value))
        _complain_of_siblings(entry.siblings)
    return entry.exists


def on_or_off(entry: ValueEntry[Any]) -> str:
    """Return the state of a flag."""
    return "on" if entry.exists else "off"


def print_members(members: list[Any]) -> None:
    """Print one member a line."""
    for member in members:
        say(member_text(member))


def print_ranking(rows: list[Ranked]) -> None:
    """Print a board as a table."""
    table("", RANKING, [(rank, member_text(member), str(score)) for rank, member, score in rows], right=["score"])


def _complain_of_siblings(siblings: list[Any]) -> None:
    if len(siblings) > 1:
        complain(f"{len(siblings)} concurrent values; the others:")
        for sibling in siblings[1:]:
            complain(f"  {escaped(value_text(sibling))}")
