"""The faults: how each strikes one node, and when it is over.

A fault is over when the node could work again: at SIGCONT, or when its process is started. The time it needs from then
on, including the start of Python, is part of the effect on users.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Awaitable, Callable

from crdtkv.local.cluster import LocalCluster

DOWN_S = 5.0
PAUSED_S = 10.0

#: Strikes a node; returns when the fault is over, with that moment (monotonic seconds).
Strike = Callable[[LocalCluster, str], Awaitable[float]]


async def kill(cluster: LocalCluster, node: str) -> float:
    """SIGKILL; the process is started again after five seconds, on its own disk."""
    await cluster.nodes[node].kill()
    return await _restarted(cluster, node)


async def pause(cluster: LocalCluster, node: str) -> float:
    """SIGSTOP for ten seconds: the process does nothing, its connections stay open."""
    process = cluster.nodes[node]
    process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSED_S)
    finally:
        process.send_signal(signal.SIGCONT)
    return time.monotonic()


async def wipe(cluster: LocalCluster, node: str) -> float:
    """SIGKILL, and everything the node had stored is gone, its identity too; started again after five seconds."""
    await cluster.nodes[node].kill()
    await asyncio.to_thread(shutil.rmtree, cluster.directory / node)
    return await _restarted(cluster, node)


async def _restarted(cluster: LocalCluster, node: str) -> float:
    await asyncio.sleep(DOWN_S)
    expires_at = time.monotonic()
    await cluster.start_node(node, ready=False)
    return expires_at


STRIKES: dict[str, Strike] = {"kill": kill, "pause": pause, "wipe": wipe}
