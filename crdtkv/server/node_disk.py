"""`NodeDisk`: opens, checks and closes the store and the identity of one node."""

import asyncio
import logging
import secrets
from dataclasses import replace
from pathlib import Path

from crdtkv.config.model import StorageConfig
from crdtkv.ring.topology import Topology
from crdtkv.server.data_directory import fence, open_store
from crdtkv.storage import identity, rows

log = logging.getLogger("crdtkv.node")


class NodeDisk:
    """An open data directory. `who` is the identity of this start."""

    def __init__(self, data: Path, config: StorageConfig, owner: identity.Owner) -> None:
        """Open the directory; `establish` must follow.

        Raises:
            StorageError: it is unusable or damaged.
        """
        self._data = data
        self._config = config
        self._owner = owner
        self.store = open_store(data, config)

    def establish(self) -> None:
        """Check the owner of this disk, and whether it has lost anything; count this start.

        Raises:
            StorageError: the disk belongs to another node, or failed.
        """
        self._record = identity.IdentityFile(self._data)
        self.who = identity.establish(self._record, self.store, self._owner, secrets.randbits(64))
        if self.who.renewed_because:
            log.info("new incarnation %016x: %s", self.who.incarnation, self.who.renewed_because)

    def outlive(self, remembered: int) -> None:
        """Take a new incarnation if the topology bucket holds more starts than this disk has noted there."""
        who = identity.outlive(self._record, self.store, self._owner, self.who, remembered, secrets.randbits(64))
        if who is not self.who:
            log.warning("new incarnation %016x: %s", who.incarnation, who.renewed_because)
            self.who = who

    def fence_an_old_copy(self, wall_ms: int, grace_s: float) -> None:
        """Set the store aside if it is a copy older than `grace_s`, and continue with an empty one."""
        if not identity.is_fenced(self.who, self.store, wall_ms, grace_s):
            return
        topology, starts = self.store.get(rows.TOPOLOGY), self.who.starts
        self.store = fence(self.store, self._data, self._config)
        if topology is not None:
            self.store.put(rows.TOPOLOGY, topology)
        self.who = identity.establish(self._record, self.store, self._owner, secrets.randbits(64))
        log.warning("new incarnation %016x after start %d", self.who.incarnation, starts)

    def save_incarnation(self, incarnation: int) -> None:
        """Write a new incarnation to the identity file.

        Raises:
            StorageError: the file cannot be written.
        """
        self.who = replace(self.who, incarnation=incarnation, is_replacement=True)
        identity.save(self._record, self._owner, self.who)

    def topology(self) -> Topology | None:
        """Return the last topology that this node knew, None if there is none."""
        stored = self.store.get(rows.TOPOLOGY)
        return Topology.from_json(stored) if stored is not None else None

    def keep_topology(self, topology: Topology) -> None:
        """Store a topology, durably."""
        self.store.put(rows.TOPOLOGY, topology.to_json())
        self.store.commit()
        self.store.sync()

    async def close(self, is_sound: bool) -> None:
        """Close the store; sync it first if it is sound."""
        if is_sound:
            await asyncio.to_thread(self.store.sync)
        self.store.close()
