"""Group commit: durable batches per second, by how many writes share one fsync, and by which thread syncs.

For each number of writers: every writer puts a key and waits until it is durable. Three ways of syncing are compared:
in the loop's thread ("inline"), in a worker thread that notifies the loop ("thread"), and in a worker thread for which
the loop waits for at most 2 ms ("patient", as the server does). Prints commits, writes per commit, writes per second,
and the median wait.

Run: python benchmarks/group_commit.py [--seconds 2] [--directory DIR]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from crdtkv.server.stepper import PATIENCE_S
from crdtkv.storage.rocks import RocksStore


class Committer:
    """Commits the collected writes, one sync at a time."""

    def __init__(self, store: RocksStore, mode: str) -> None:
        self.store = store
        self.mode = mode
        self.commits = 0
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[asyncio.Future[None]] = []
        self._is_syncing = False
        self._is_due = False

    def durable(self) -> "asyncio.Future[None]":
        """Return a future for the durability of what was put so far."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._commit)
        return future

    def _commit(self) -> None:
        self._is_due = False
        if self._is_syncing or not self._waiting:
            return
        self.store.commit()
        self.commits += 1
        waiting, self._waiting = self._waiting, []
        self._is_syncing = True
        if self.mode == "inline":
            self.store.sync()
            self._synced(waiting)
            return
        syncing = self._pool.submit(self.store.sync)
        try:
            syncing.result(timeout=PATIENCE_S if self.mode == "patient" else 0)
        except TimeoutError:
            done: Callable[[Future[None]], object] = lambda _: self._loop.call_soon_threadsafe(self._synced, waiting)  # noqa: E731
            syncing.add_done_callback(done)
        else:
            self._synced(waiting)

    def _synced(self, waiting: "list[asyncio.Future[None]]") -> None:
        self._is_syncing = False
        for future in waiting:
            future.set_result(None)
        if self._waiting and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._commit)


async def measure(directory: Path, mode: str, writers: int, seconds: float) -> None:
    store = RocksStore(directory / f"{mode}-{writers}")
    committer = Committer(store, mode)
    waits: list[float] = []
    stop_at = time.perf_counter() + seconds

    async def write(writer: int) -> None:
        number = 0
        while time.perf_counter() < stop_at:
            began = time.perf_counter()
            store.put(b"%d-%d" % (writer, number), b"x" * 100)
            await committer.durable()
            waits.append(time.perf_counter() - began)
            number += 1

    await asyncio.gather(*(write(writer) for writer in range(writers)))
    store.close()
    median_ms = statistics.median(waits) * 1000
    print(
        f"{mode:8} {writers:5} writers: {committer.commits / seconds:8,.0f} commits/s  "
        f"{len(waits) / committer.commits:7.1f} writes/commit  {len(waits) / seconds:9,.0f} writes/s  "
        f"median wait {median_ms:.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for writers in (1, 16, 64, 256):
            for mode in ("inline", "thread", "patient"):
                asyncio.run(measure(Path(directory), mode, writers, arguments.seconds))


if __name__ == "__main__":
    main()
