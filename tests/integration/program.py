"""Running the `crdtkv` program the way people and scripts do."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_RUN_S = 60.0
AT_ONCE = 3


class Outcome(NamedTuple):
    """How a run ended."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that says why it failed; a traceback, or more lines, fail the test."""
        assert "Traceback" not in self.err, self.err
        complaints = [line for line in self.err.splitlines() if line.startswith("crdtkv: ")]
        assert len(complaints) == 1, self.err
        assert self.err.splitlines()[-1] == complaints[0]
        return complaints[0]


async def start(*arguments: str | Path, cwd: Path, stdin: int = DEVNULL) -> asyncio.subprocess.Process:
    """Start the program; the caller ends it."""
    command = [sys.executable, "-m", "crdtkv.cli", *(str(argument) for argument in arguments)]
    return await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=_environment(), stdin=stdin, stdout=PIPE, stderr=PIPE
    )


async def run(*arguments: str | Path, cwd: Path, stdin: bytes = b"", longest_s: float = LONGEST_RUN_S) -> Outcome:
    """Run the program to its end, in a fork of a process that has imported it."""
    (stdin_end, to_stdin), (out, out_end), (err, err_end), (status, status_end) = (os.pipe() for _ in range(4))
    given = (stdin_end, out_end, err_end, status_end)
    request = json.dumps([str(cwd), *map(str, arguments)])
    socket.send_fds(_fork_server(), [request.encode()], given)
    for descriptor in given:
        os.close(descriptor)
    reading = [asyncio.ensure_future(asyncio.to_thread(_all_of, pipe)) for pipe in (out, err)]
    with os.fdopen(status) as lines:
        process = int(await asyncio.to_thread(lines.readline))
        try:
            async with asyncio.timeout(longest_s):
                await asyncio.to_thread(_write, to_stdin, stdin)
                await asyncio.gather(*map(asyncio.shield, reading))
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            _, told = await asyncio.gather(*reading)
            raise AssertionError(f"{arguments} did not end within {longest_s:g} s: {told[-2000:].decode()}") from None
        code = int(await asyncio.to_thread(lines.readline))
    printed, told = await asyncio.gather(*reading)
    return Outcome(code, printed.decode(), told.decode())


@cache
def _fork_server() -> socket.socket:
    """Start the fork server of this process; it ends with this process."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, Path(__file__).with_name("fork_server.py"), str(its.fileno())]
        subprocess.Popen(command, pass_fds=[its.fileno()], env=_environment(), stdin=DEVNULL, stdout=DEVNULL)
    return mine


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CRDTKV_")}


def _all_of(pipe: int) -> bytes:
    with os.fdopen(pipe, "rb") as stream:
        return stream.read()


def _write(pipe: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(pipe, "wb") as stream:
        stream.write(data)


async def run_all(calls: dict[str, Sequence[str | Path]], cwd: Path) -> dict[str, Outcome]:
    """Run the program with each of these arguments, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(arguments: Sequence[str | Path]) -> Outcome:
        async with room:
            return await run(*arguments, cwd=cwd)

    return dict(zip(calls, await asyncio.gather(*map(one, calls.values())), strict=True))
