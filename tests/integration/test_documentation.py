"""Every `python` and `console` block of the README and the pages runs, and prints the claimed output.

Each page gets a cluster of its own, started by `crdtkv up --cuttable`. Its blocks run in order, as a reader would run
them. The ports on a page are those of `datacenters.yaml`; they are replaced by free ones.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from crdtkv import Client
from crdtkv.config.loader import dump, load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.ports import on_free_ports

from . import program
from .code_blocks import EXECUTED, Block, blocks_of, commands_of, is_as_claimed
from .conftest import DATACENTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPOSITORY = Path(__file__).parents[2]
LONGEST_COMMAND_S = 90.0


def pages() -> list[Path]:
    """Return the pages with blocks to run."""
    candidates = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [page for page in candidates if any(block.language in EXECUTED for block in blocks_of(page))]


def ports_of(config: ClusterConfig) -> list[int]:
    """Return all ports of a configuration, in an order that is the same for two of one shape."""
    ports = []
    for datacenter in config.datacenters.values():
        urls = (datacenter.nats.url, datacenter.nats.monitor_url or "")
        ports += [int(url.rpartition(":")[2]) for url in urls]
        ports += [port for node in datacenter.nodes for port in (node.port, node.http_port)]
    return ports


class Reader:
    """Runs the blocks of a page in the directory of a running cluster."""

    def __init__(self, directory: Path, printed_by_up: str, written: list[int], used: list[int]) -> None:
        self._directory = directory
        self._printed_by_up = printed_by_up
        self._used = {str(port): str(other) for port, other in zip(written, used, strict=True)}
        self._written = {other: port for port, other in self._used.items()}
        self._names: dict[str, Any] = {}

    async def follow(self, block: Block) -> None:
        if "excerpt" in block.remarks:
            assert block.text in (REPOSITORY / block.remarks["excerpt"]).read_text(), f"{block.place}: not in that file"
        elif block.language == "console":
            for command, claimed in commands_of(block):
                self._check(block, claimed, await self._shell(command))
        elif block.language == "python":
            printed = await self._python(block)
            self._check(block, block.output or "", printed)

    def _check(self, block: Block, claimed: str, printed: str) -> None:
        printed = self._renumbered(printed, self._written)
        assert is_as_claimed(claimed, printed), f"{block.place}\n\nclaimed:\n{claimed}\n\nprinted:\n{printed}"

    async def _shell(self, command: str) -> str:
        if command.startswith("crdtkv up"):
            return self._printed_by_up
        if command == "make demo":
            assert "\n\t$(BIN)/crdtkv demo\n" in (REPOSITORY / "Makefile").read_text()
            command = "crdtkv demo"
        return await self._run("bash", "-c", self._renumbered(command, self._used))

    async def _python(self, block: Block) -> str:
        code = self._renumbered(block.text, self._used)
        if "asyncio.run(" in code:
            return await self._run(sys.executable, "-c", code)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            compiled = compile(code, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(compiled, self._names)
            if inspect.isawaitable(running):
                await running
        return out.getvalue()

    async def _run(self, *command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CRDTKV_")}
        environment["PATH"] = f"{self._directory / 'bin'}:{environment['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self._directory, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        try:
            async with asyncio.timeout(LONGEST_COMMAND_S):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return out.decode()

    def _renumbered(self, text: str, ports: dict[str, str]) -> str:
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: ports.get(port[0], port[0]), text)

    async def close(self) -> None:
        clients = {id(value): value for value in self._names.values() if isinstance(value, Client)}
        await asyncio.gather(*(client.close() for client in clients.values()))


@pytest_asyncio.fixture(loop_scope="session")
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """A reader beside a cluster that `crdtkv up --cuttable` runs."""
    written = load(DATACENTERS)
    config = on_free_ports(written)
    (tmp_path / "datacenters.yaml").write_text(dump(config))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "crdtkv").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m crdtkv.cli "$@"\n')
    (tmp_path / "bin" / "crdtkv").chmod(0o755)
    process = await program.start("up", "--cuttable", cwd=tmp_path)
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(60):
        while b"Ctrl-C stops everything" not in said:
            line = await process.stdout.readline()
            assert line, "it ended instead"
            said += line
    reader = Reader(tmp_path, said.decode(), ports_of(written), ports_of(config))
    yield reader
    await reader.close()
    process.terminate()
    await process.communicate()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
async def test_every_block_of_a_page_prints_the_output_that_the_page_claims(page: Path, reader: Reader) -> None:
    left_out = []
    for block in blocks_of(page):
        needed = block.remarks.get("needs")
        if needed is None or shutil.which(needed):
            await reader.follow(block)
        else:
            left_out.append(f"{block.place} needs {needed}")
    if left_out:
        pytest.skip(f"all other blocks of the page ran; {', '.join(left_out)}")


@pytest.mark.parametrize(
    ("claimed", "printed"),
    [
        ("7 views  [0.324 s]", "7 views [1.2 s]"),
        ("7 views\n…", "7 views"),
        ("…\n7 views", "one\ntwo\n7 views\n"),
        ("up for 7s, digest 7dbc8a1d", "up for 2m, digest 00ff00ff"),
        ("a … is b", "a cat … is b"),
    ],
)
async def test_values_that_differ_from_run_to_run_match_the_claim(claimed: str, printed: str) -> None:
    assert is_as_claimed(claimed, printed)


@pytest.mark.parametrize(
    ("claimed", "printed"),
    [("7 views", "8 views"), ("", "a"), ("a …", "b c"), ("a\nb", "a b"), ("7 views", "7 views\nx")],
)
async def test_other_output_does_not_match_the_claim(claimed: str, printed: str) -> None:
    assert not is_as_claimed(claimed, printed)
