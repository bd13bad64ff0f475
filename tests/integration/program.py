"""Running the `crdtkv` program the way people and scripts do."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
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
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRDTKV_")}
    command = [sys.executable, "-m", "crdtkv.cli", *(str(argument) for argument in arguments)]
    return await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment, stdin=stdin, stdout=PIPE, stderr=PIPE
    )


async def run(*arguments: str | Path, cwd: Path, stdin: bytes = b"", longest_s: float = LONGEST_RUN_S) -> Outcome:
    """Run the program to its end."""
    process = await start(*arguments, cwd=cwd, stdin=PIPE)
    try:
        async with asyncio.timeout(longest_s):
            out, err = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        _, err = await process.communicate()
        raise AssertionError(f"{arguments} did not end within {longest_s:g} s: {err.decode()[-2000:]}") from None
    return Outcome(process.returncode, out.decode(), err.decode())


async def run_all(calls: dict[str, Sequence[str | Path]], cwd: Path) -> dict[str, Outcome]:
    """Run the program with each of these arguments, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(arguments: Sequence[str | Path]) -> Outcome:
        async with room:
            return await run(*arguments, cwd=cwd)

    return dict(zip(calls, await asyncio.gather(*map(one, calls.values())), strict=True))
