"""What the documentation says of every type, shown on two data centers that are cut apart."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from crdtkv.config.loader import dump, load
from crdtkv.crdt.registry import TYPES
from crdtkv.local.ports import on_free_ports

from . import program
from .conftest import DATACENTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")
EXAMPLE = Path(__file__).parents[2] / "examples" / "concurrent_use.py"


@pytest_asyncio.fixture(loop_scope="session")
async def cuttable(tmp_path: Path) -> AsyncIterator[Path]:
    """The directory of a cluster that `crdtkv up --cuttable` runs."""
    (tmp_path / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    process = await program.start("up", "--cuttable", cwd=tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Ctrl-C stops everything" not in (line := await process.stdout.readline()):
            assert line, "it ended instead"
    yield tmp_path
    process.terminate()
    await process.communicate()


async def test_concurrent_use_of_every_type_comes_to_what_the_example_says(cuttable: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, EXAMPLE, cwd=cuttable, stdout=PIPE, stderr=STDOUT)
    out, _ = await process.communicate()
    told = out.decode()
    assert process.returncode == 0, told
    for type_tag in TYPES:
        assert type_tag in told
    assert told.count("healed     both see") == told.count("cut apart  eu") == 15


async def test_cuts_are_asked_for_by_name_and_end_with_the_cluster(cuttable: Path) -> None:
    assert (await program.run("cut", "eu", "us", cwd=cuttable)).out == "eu and us are disconnected\n"
    assert (await program.run("put", "k", "1", "--dc", "eu", cwd=cuttable)).code == 0
    assert (await program.run("lag", "--wait", "1", cwd=cuttable)).code == 1
    assert (await program.run("heal", cwd=cuttable)).out == "eu and us are connected\n"
    assert (await program.run("lag", "--wait", "30", cwd=cuttable)).code == 0
    wrong = await program.run("cut", "eu", "mars", cwd=cuttable)
    assert (wrong.code, wrong.complaint) == (2, "crdtkv: no data center 'mars': eu, us")
    same = await program.run("cut", "eu", "eu", cwd=cuttable)
    assert (same.code, same.complaint) == (2, "crdtkv: name two different data centers")


async def test_a_cluster_that_was_not_started_for_it_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    refused = await program.run("cut", "eu", cwd=tmp_path)
    assert refused.code == 2
    assert "start it with `crdtkv up --cuttable`" in refused.complaint
