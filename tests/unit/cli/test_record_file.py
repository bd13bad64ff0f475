"""Files of records: the lines that count are those that importing one after the other would leave."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from crdtkv.cli.record_file import RecordFile, opened
from crdtkv.errors import ConfigError

Records = list[dict[str, Any] | None]


def counting(*records: dict[str, Any]) -> Records:
    """Return the record of each line, None for one that is replaced."""
    return counting_in("".join(json.dumps(record) + "\n" for record in records).encode())


def counting_in(content: bytes) -> Records:
    file = RecordFile(io.BytesIO(content), "records")
    file.survey()
    lines = list(file.lines())
    assert sum(line.size for line in lines) <= file.size
    return [line.record for line in lines]


def register(key: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"key": key, "value": value, **more}


def test_of_a_key_that_comes_again_the_last_line_counts() -> None:
    a, b, again, last = register("a", 1), register("b", 1), register("a", 2), register("a", 3)
    assert counting(a, b, again, last) == [None, b, None, last]


def test_a_key_in_hexadecimal_is_the_same_key_and_one_of_another_type_is_not() -> None:
    other = register("a", 2, type="lww")
    same = {"key_hex": "61", "type": "register", "value": 3}
    assert counting(register("a", 1), other, same) == [None, other, same]


@pytest.mark.parametrize("type_tag", ["gset", "maxreg", "minreg"])
def test_of_types_that_only_grow_every_line_counts(type_tag: str) -> None:
    content = {"members": [{"value": 1}]} if type_tag == "gset" else {"value": 1}
    records = [{"key": "a", "type": type_tag, **content}] * 2
    assert counting(*records) == records


def test_a_line_that_is_not_written_replaces_none() -> None:
    good = register("a", 1)
    over, unknown, empty = register("a", 2, expires_at_s=1.5), register("a", 3, colour="red"), {"key": "a"}
    assert counting(good, over, unknown, empty) == [good, over, unknown, empty]


def test_fields_of_a_map_that_only_grow_are_joined_over_its_lines() -> None:
    def line(*fields: dict[str, Any]) -> dict[str, Any]:
        return {"key": "m", "type": "map", "fields": list(fields)}

    def grown(*members: int) -> dict[str, Any]:
        return {"field": "g", "type": "gset", "members": [{"value": member} for member in members]}

    def most(value: float) -> dict[str, Any]:
        return {"field": "most", "type": "maxreg", "value": value}

    name = {"field": "name", "value": "Ada"}
    inner = {"field": "inner", "type": "map", "fields": [most(2)]}
    deeper = {"field": "inner", "type": "map", "fields": [most(1)]}
    assert counting(line(grown(1), most(5), name), line(grown(2), most(3))) == [None, line(grown(1, 2), most(5))]
    assert counting(line(inner), line(deeper)) == [None, line(inner)]
    # A line in between that has not the field takes it away.
    assert counting(line(grown(1)), line(name), line(grown(2))) == [None, None, line(grown(2))]


def test_many_keys_that_come_once_all_count() -> None:
    records: list[dict[str, Any]] = [register(f"key {number}", number) for number in range(20_000)]
    assert counting(*records) == records
    assert counting(*records, *records) == [None] * len(records) + records


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{oops", "line 3: not JSON"),
        (b"[1]", "line 3: a record is an object"),
        (b'{"key": "\xff", "value": 1}', "line 3: not UTF-8"),
        (b'{"key": "a", "value": NaN}', "line 3: not JSON"),
        (b'{"key": "a", "key": "b", "value": 1}', 'the name "key" is there twice'),
        (b'{"key": "a", "value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "line 3: .*nested too deeply"),
    ],
)
def test_a_line_that_is_no_record_is_found_before_anything_counts(line: bytes, why: str) -> None:
    file = RecordFile(io.BytesIO(b'{"key": "a", "value": 1}\n\n' + line), "records")
    with pytest.raises(ConfigError, match=why):
        file.survey()


def test_a_pipe_is_read_to_its_end_and_a_file_from_where_it_stands(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"key": "a", "value": 1}\n{"key": "a", "value": 2}')
    os.close(writing)
    with open(reading, "rb") as pipe, opened(None, pipe) as file:
        file.survey()
        assert [line.record for line in file.lines()] == [None, register("a", 2)]
    (tmp_path / "records").write_text('head\n{"key": "a", "value": 1}\n')
    with (tmp_path / "records").open("rb") as stream:
        stream.readline()
        file = RecordFile(stream, "records")
        file.survey()
        assert [line.record for line in file.lines()] == [register("a", 1)]
    with pytest.raises(ConfigError, match="cannot be opened"), opened(tmp_path, io.BytesIO()):
        pass
