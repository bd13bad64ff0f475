"""`Probe`: a direct connection to one node, without a client's router, for its status and its own entries."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from crdtkv import CrdtkvError
from crdtkv.client.connection import Connection
from crdtkv.config.model import ClusterConfig
from crdtkv.ids import identity_of
from crdtkv.wire.messages import Hello, StatusRequest

STATUS_TIMEOUT_S = 1.0
READ_TIMEOUT_MS = 3_000


class Probe:
    """A connection to one node, which is made again whenever it breaks."""

    def __init__(self, config: ClusterConfig, name: str) -> None:
        found = config.find_node(name)
        assert found is not None
        self.name = name
        self._connection = Connection(found[1].host, found[1].port, Hello("", found[0], "client", "probe"), _ignore)
        self._connection.start()

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()

    async def status(self) -> dict[str, Any] | None:
        """Return what the node says of itself and of others; None if it does not answer."""
        try:
            reply = await self._connection.ask(StatusRequest(self._connection.next_id()), STATUS_TIMEOUT_S)
        except CrdtkvError:
            return None
        told = json.loads(reply.document)
        assert isinstance(told, dict)
        return told

    async def holds(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """Return the entries of these keys as this node's own replica has them; None if it does not answer."""
        asked = [
            self._connection.ask_entry(identity_of("default", "register", key), "ONE", READ_TIMEOUT_MS) for key in keys
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        entries: list[bytes | None] = []
        for answer in answers:
            if isinstance(answer, CrdtkvError):
                return None
            if isinstance(answer, BaseException):
                raise answer
            entries.append(answer)
        return entries


def _ignore(epoch: int) -> None:
    """Take no notice of the ring: a probe asks its one node."""
