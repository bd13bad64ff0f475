"""Clients in every data center that write and read until they are stopped; runs in the client container.

It reads lines from standard input and answers each with one line: `more DATACENTER COUNT` when that many more calls
have succeeded there; `stop` when nothing lags any more and everything was read once more. Then it prints the history,
one operation per line, for `crdtkv.checking`.

    python3 -m tests.deploy.workload PREFIX LEVELS TIMEOUT_S WORKERS PAUSE_S
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack

import crdtkv
from crdtkv.cli.session import only
from crdtkv.config.loader import load
from tests.integration.recording import Recorder
from tests.integration.waiting import nothing_lags

PATIENCE_S = 120.0
#: What the judges need grows with the cube of the operations on a key.
KEYS = 24


async def work(prefix: str, levels: list[str], timeout_s: float, workers: int, pause_s: float) -> list[Recorder]:
    config = load(os.environ["CRDTKV_CONFIG"])
    async with AsyncExitStack() as stack:
        clients, recorders = [], {}
        for seed, name in enumerate(config.datacenters):
            client = await stack.enter_async_context(crdtkv.connect(only(config, name), datacenter=name))
            clients.append(client)
            recorders[name] = Recorder(
                client, prefix, seed, workers=workers, keys=KEYS, levels=levels, timeout_s=timeout_s, pause_s=pause_s
            )
        async with AsyncExitStack() as working:
            for recorder in recorders.values():
                await working.enter_async_context(recorder)
            await follow_orders(recorders)
        await nothing_lags(*clients)
        for recorder in recorders.values():
            await recorder.read_everything()
    return list(recorders.values())


async def follow_orders(recorders: dict[str, Recorder]) -> None:
    while (order := await asyncio.to_thread(sys.stdin.readline)) != "stop\n":
        if not order:
            raise EOFError("nobody gives orders any more")
        _, datacenter, count = order.split()
        await recorders[datacenter].more(int(count), PATIENCE_S)
        print("done", flush=True)


def main() -> None:
    prefix, levels, timeout_s, workers, pause_s = sys.argv[1:]
    recorders = asyncio.run(work(prefix, levels.split(";"), float(timeout_s), int(workers), float(pause_s)))
    print("done")
    for operation in sorted((one for recorder in recorders for one in recorder.history), key=lambda one: one.began):
        print(operation.to_json())


if __name__ == "__main__":
    main()
