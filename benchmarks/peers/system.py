"""`System`: a store that is started on this machine with three replicas, and asked by the load generator.

Every system acknowledges a write after an fsync of a majority of its replicas, at least. Its processes are children
with data in a directory of their own, on ports that are free. They end when the `running` block is left, however that
happens, and also if this process is killed.
"""

import asyncio
import itertools
import os
import shutil
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import ClassVar

from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.cli.workloads import INSERT, READ, READ_MODIFY_WRITE, SCAN, UPDATE, Call
from crdtkv.local.processes import Child

START_TIMEOUT_S = 90.0

CarryOut = Callable[[Call], Awaitable[object]]


class AbsentError(Exception):
    """A system cannot be measured on this machine; the text says why, and what to do."""


class StartError(Exception):
    """A system is there, but does not start."""


class System(ABC):
    """One system in one setting."""

    name: ClassVar[str]
    #: By kind of operation, why it cannot carry that out.
    lacks: ClassVar[dict[str, str]] = {}
    #: How long it works before it is measured.
    warm_up_s: ClassVar[float] = 0.5

    @abstractmethod
    def require(self) -> None:
        """Look for what it needs: programs and packages.

        Raises:
            AbsentError: something is not there.
        """

    @abstractmethod
    def running(self, directory: Path) -> AbstractAsyncContextManager[list[int]]:
        """Start it for the time of a block, which is given the ids of its processes.

        Raises:
            StartError: it does not start.
        """

    @abstractmethod
    def client(self, workers: int, variant: str, values: list[bytes]) -> AbstractAsyncContextManager[CarryOut]:
        """Connect to the running system for the time of a block, which is given what carries out operations."""

    @property
    @abstractmethod
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""

    def variants(self, operation: str) -> list[str]:
        """Return in which ways an operation is measured, "" for the only way."""
        return [""]


class Verbs(ABC):
    """The operations of a load, as a store's reads and writes.

    A read-modify-write is a read, then a write: what YCSB does, and what crdtkv's `update` does. A store's own
    compare-and-set would make it another operation, one that fails.
    """

    def __init__(self, values: list[bytes]) -> None:
        self._next_value = itertools.cycle(values).__next__
        self._verbs: dict[str, Callable[[Call], Awaitable[object]]] = {
            "get": self._read,
            "put": self._write,
            READ: self._read,
            UPDATE: self._write,
            INSERT: self._write,
            SCAN: self._scan,
            READ_MODIFY_WRITE: self._change,
        }

    @abstractmethod
    async def put(self, key: str, value: bytes) -> object:
        """Write a value durably."""

    @abstractmethod
    async def get(self, key: str) -> object:
        """Return a value, None if there is none."""

    async def scan(self, key: str, count: int) -> None:
        """Read so many records from a key on, in the order the store has."""
        raise NotImplementedError

    def __call__(self, call: Call) -> Awaitable[object]:
        """Carry out an operation."""
        return self._verbs[call.kind](call)

    def _write(self, call: Call) -> Awaitable[object]:
        return self.put(key_of(call.record), self._next_value())

    async def _read(self, call: Call) -> None:
        if await self.get(key_of(call.record)) is None:
            raise RecordMissing

    async def _change(self, call: Call) -> None:
        await self._read(call)
        await self._write(call)

    def _scan(self, call: Call) -> Awaitable[object]:
        return self.scan(key_of(call.record), call.length)


def key_of(record: int) -> str:
    """Return the key of a record: in the order of the numbers, for stores that keep one."""
    return f"k{record:09}"


def program(name: str, given: str | None, option: str, package: str) -> Path:
    """Find a program: where an option says, beside this Python, or on the PATH.

    Raises:
        AbsentError: there is none.
    """
    if given is not None:
        if not os.access(given, os.X_OK) or not Path(given).is_file():
            raise AbsentError(f"{given} is no program that can be run ({option})")
        return Path(given)
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    found = shutil.which(name, path=path)
    if found is None:
        raise AbsentError(f"no program {name}: install {package}, or say where it is with {option} PATH")
    return Path(found)


@asynccontextmanager
async def children(commands: Iterable[tuple[str, list[str | Path]]], directory: Path) -> AsyncIterator[list[Child]]:
    """Run programs for the time of a block, each with its output in `directory/NAME.log`."""
    started: list[Child] = []
    try:
        for name, command in commands:
            child = Child(name, command, directory / f"{name}.log")
            started.append(child)
            await child.start()
        yield started
    finally:
        await asyncio.gather(*(child.stop() for child in started))


async def listening(child: Child, host: str, port: int) -> None:
    """Wait until a process takes connections.

    Raises:
        StartError: it ended, or took too long.
    """
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline:
        if not child.is_running:
            raise StartError(f"{child.name} ended at its start: {child.last_words()}")
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise StartError(f"{child.name} does not listen on {host}:{port} after {START_TIMEOUT_S:g} s: {child.last_words()}")
