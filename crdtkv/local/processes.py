"""`Child`: child processes that never outlive their parent.

A child gets its own session, so that Ctrl-C reaches only the parent, which then stops it in order; and a death signal,
so that it ends even if the parent is killed. Only its owner can read its log and the files it creates; that includes
the files of a nats-server.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from crdtkv.storage.files import PRIVATE_FILE, make_private_directory

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 10.0


class Child:
    """One child process; its output goes to a log file."""

    def __init__(self, name: str, command: Sequence[str | Path], log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._command = [str(part) for part in command]
        self._process: Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process."""
        make_private_directory(self.log_file.parent)
        with _appending(self.log_file) as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_begin,
            )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill the process, as a crash would."""
        self.send_signal(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> None:
        """Ask the process to end; kill it if it does not."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def wait(self) -> int | None:
        """Wait until the process has ended; return its exit code."""
        return await self._process.wait() if self._process is not None else None

    def last_words(self, lines: int = 3) -> str:
        """Return the end of the log, for error messages."""
        try:
            return "\n".join(self.log_file.read_text(errors="replace").strip().splitlines()[-lines:])
        except OSError:
            return ""


def _appending(log_file: Path) -> BinaryIO:
    return open(os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_FILE), "ab")


def _begin() -> None:
    os.umask(0o077)
    if sys.platform == "linux":
        _die_with_parent()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
