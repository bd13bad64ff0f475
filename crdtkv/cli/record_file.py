"""A file of records, one JSON object per line, and which of its lines count.

A file has the meaning that importing its lines one after the other would have. So a line that a later one of the same
key replaces is not written at all: a second import of the file then finds no differences, and writes nothing. For types
that only grow every line counts; the same holds for their fields in a map, which are joined.

The file is read twice. The first pass finds invalid lines before anything is written, and keys that occur more than
once; it keeps one bit per key, and the last line of those whose bit was set already.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

from crdtkv.cli import strict_json
from crdtkv.cli.records import GROWING, Record, check_record, expiry_in, name_in, succeeded, type_in
from crdtkv.errors import ConfigError, CrdtkvError
from crdtkv.ids import key_bytes

_LEAST_FILTER_BYTES = 1 << 16


class Line(NamedTuple):
    """One line: its record, None if a later line replaces it, and its length in bytes."""

    record: Record | None
    size: int


class RecordFile:
    """An open file of records; `source` is its name in errors."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream = stream
        self._source = source
        self._start = stream.tell()
        self.size = stream.seek(0, os.SEEK_END) - self._start
        self._last: dict[bytes, int] = {}

    def survey(self) -> None:
        """Read the file for the first time.

        Raises:
            ConfigError: a line is no record.
        """
        now_s = time.time()
        bits = bytearray(max(_LEAST_FILTER_BYTES, self.size // 16))
        for number, record, _ in self._records():
            key = _key_of(record)
            if key is None or (expiry_in(record) or now_s) < now_s:  # an expired record is never written
                continue
            index, bit = divmod(int.from_bytes(key[:8], "big") % (8 * len(bits)), 8)
            if bits[index] & 1 << bit:
                self._last[key] = number
            bits[index] |= 1 << bit

    def lines(self) -> Iterator[Line]:
        """Yield every line; call `survey` before."""
        earlier: dict[bytes, Record] = {}  # maps that occur again
        for number, record, size in self._records():
            key = _key_of(record) if self._last else None
            last = self._last.get(key) if key is not None else None
            if key is None or last is None or number > last:
                yield Line(record, size)
                continue
            if type_in(record) == "map":
                record = earlier[key] = succeeded(earlier.get(key), record)  # noqa: PLW2901 - the joined record
            if number == last:
                earlier.pop(key, None)
            yield Line(record if number == last else None, size)

    def _records(self) -> Iterator[tuple[int, Record, int]]:
        for number, line in enumerate(self._raw_lines(), 1):
            if line.strip():
                yield number, self._record(number, line), len(line)

    def _raw_lines(self) -> Iterator[bytes]:
        try:
            self._stream.seek(self._start)
            yield from self._stream
        except OSError as error:
            raise ConfigError(f"{self._source}: cannot be read: {error.strerror}") from None

    def _record(self, number: int, line: bytes) -> Record:
        where = f"{self._source}, line {number}"
        try:
            record = strict_json.loads(line.decode())
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: not UTF-8: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{where}: not JSON that can be kept: {error}") from None
        if not isinstance(record, dict):
            raise ConfigError(f"{where}: a record is an object")
        return record


@contextmanager
def opened(file: Path | None, standard_input: BinaryIO) -> Iterator[RecordFile]:
    """Open a file of records; None is standard input, which is read to its end first if it is a pipe.

    Raises:
        ConfigError: it cannot be read.
    """
    source = str(file or "standard input")
    try:
        stream = file.open("rb") if file is not None else standard_input
        if not stream.seekable():
            spooled = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream below
            shutil.copyfileobj(stream, spooled)
            spooled.seek(0)
            stream.close()
            stream = spooled
    except OSError as error:
        raise ConfigError(f"{source}: cannot be opened: {error.strerror}") from None
    with stream:
        yield RecordFile(stream, source)


def _key_of(record: Record) -> bytes | None:
    """Return a hash of the key of a record if only its last line counts; None for a growing or an invalid record."""
    try:
        check_record(record)
        if type_in(record) in GROWING:
            return None
        identity = type_in(record).encode() + b"\0" + key_bytes(name_in(record))
    except CrdtkvError:
        return None
    return blake2b(identity, digest_size=16).digest()
