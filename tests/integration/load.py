"""Writers that remember what was acknowledged, so that a test can look for all of it afterwards."""

import asyncio
import itertools

from crdtkv import LOCAL_QUORUM, Client, CrdtkvError, WriteTimeout

from .waiting import PATIENCE_S

PAUSE_S = 0.004


class Load:
    """Some workers that write unique keys at LOCAL_QUORUM, one after the other, until stopped."""

    _numbers = itertools.count()

    def __init__(self, client: Client, workers: int = 8) -> None:
        self._client = client
        self._workers = workers
        self._name = f"load:{next(self._numbers)}"
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self.acknowledged: dict[str, str] = {}
        self.unknown: dict[str, CrdtkvError] = {}
        self.refused: dict[str, CrdtkvError] = {}

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(self._workers)]
        await self.more(100)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait until this many more writes were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < goal:
                self._changed.clear()
                await self._changed.wait()

    async def assert_kept(self, *clients: Client) -> None:
        """Check that every client reads every acknowledged write."""
        for client in clients:
            read = await client.get_many(self.acknowledged)
            lost = {key: read[key] for key, value in self.acknowledged.items() if read[key] != value}
            assert lost == {}, (
                f"{len(lost)} of {len(self.acknowledged)} acknowledged writes, read in {client.datacenter}"
            )

    async def _work(self, worker: int) -> None:
        for number in itertools.count():
            if self._is_over:
                return
            key, value = f"{self._name}:{worker}:{number}", f"value {worker} {number}"
            try:
                await self._client.put(key, value, consistency=LOCAL_QUORUM)
            except WriteTimeout as error:
                self.unknown[key] = error
            except CrdtkvError as error:
                self.refused[key] = error
            else:
                self.acknowledged[key] = value
                self._changed.set()
            await asyncio.sleep(PAUSE_S)
