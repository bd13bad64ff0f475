"""`crdtkv watch`: what it prints, how it ends on Ctrl-C, and that another process goes on from its token."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from crdtkv import LOCAL_ALL, Client
from crdtkv.cli.watching import MARK
from crdtkv.local.cluster import LocalCluster

from . import program
from .waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


Watch = Callable[..., Awaitable[Process]]


@pytest_asyncio.fixture(loop_scope="session")
async def watch(cluster: LocalCluster) -> AsyncIterator[Watch]:
    """Start `crdtkv watch`; what still runs when a test has ended, or failed, is killed."""
    started = []

    async def start(*arguments: str) -> Process:
        started.append(await program.start("watch", *arguments, cwd=cluster.directory))
        return started[-1]

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode().rstrip("\n")


async def interrupt(process: Process, number: signal.Signals = signal.SIGINT) -> tuple[int | None, str, str]:
    """Press Ctrl-C, or send another signal; return the exit code and what is printed from then on."""
    process.send_signal(number)
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_keys_a_mark_and_changes_are_printed_until_ctrl_c(watch: Watch, eu: Client) -> None:
    await eu.put("cw:text", "plain", consistency=LOCAL_ALL)
    await eu.put("cw:gone", 1, consistency=LOCAL_ALL)
    await eu.delete("cw:gone", consistency=LOCAL_ALL)
    await eu.counter("cw:hits").increment(2, consistency=LOCAL_ALL)
    await eu.set("cw:cart").add("lamp", "book", consistency=LOCAL_ALL)
    process = await watch("cw:")
    first = [await line(process) for _ in range(5)]
    assert sorted(first[:4]) == [
        "counter cw:hits: 2",
        "register cw:gone: (deleted)",
        "register cw:text: plain",
        "set cw:cart: book, lamp",
    ]
    assert first[4] == MARK
    await eu.put("cw:text", {"a": 1})
    assert await line(process) == 'register cw:text: {"a": 1}'
    code, out, err = await interrupt(process)
    assert (code, out) == (0, "")
    assert err.startswith("crdtkv: to continue from here: --token ")
    token = err.split()[-1]
    await eu.put("cw:text", "later", consistency=LOCAL_ALL)
    process = await watch("cw:", "--token", token)
    assert [await line(process), await line(process)] == ["register cw:text: later", MARK]
    code, out, err = await interrupt(process, signal.SIGTERM)
    assert (code, out) == (0, "")
    assert err.startswith("crdtkv: to continue from here: --token ")


async def test_json_output_is_one_object_a_line_and_brings_tokens(watch: Watch, eu: Client) -> None:
    carts = eu.bucket("carts")
    await carts.counter("cw:hits").increment(2, consistency=LOCAL_ALL)
    await carts.put("cw:other", 1, consistency=LOCAL_ALL)
    arguments = ("cw:", "--bucket", "carts", "--type", "counter", "--json")
    process = await watch(*arguments)

    async def document() -> Any:
        return json.loads(await line(process))

    hits = await document()
    assert (hits["key"], hits["type"], hits["exists"], hits["value"]) == ("cw:hits", "counter", True, 2)
    mark = await document()
    assert mark["caught_up"] is True
    code, out, err = await interrupt(process)
    assert (code, err) == (0, "")
    assert json.loads(out)["ended"] is True
    await carts.counter("cw:hits").delete(consistency=LOCAL_ALL)
    process = await watch(*arguments, "--token", mark["token"])
    gone = await document()
    assert (gone["key"], gone["exists"], gone["value"]) == ("cw:hits", False, None)
    await interrupt(process)


async def test_what_cannot_be_watched_is_told_in_a_line(cluster: LocalCluster) -> None:
    calls = {
        "bucket": ("watch", "--bucket", "nobody"),
        "type": ("watch", "--type", "nothing"),
        "token": ("watch", "--token", "nothing"),
    }
    outcomes = await program.run_all(calls, cluster.directory)
    assert {name: outcome.code for name, outcome in outcomes.items()} == dict.fromkeys(calls, 2)
    assert "unknown bucket 'nobody'" in outcomes["bucket"].complaint
    assert "unknown type 'nothing'" in outcomes["type"].complaint
    assert "not a watch token" in outcomes["token"].complaint
