"""`Replicas`: the cores of one data center in one process, which exchange encoded frames.

It is a host as the server is one: all frames that have arrived are one step, held effects leave after a commit and a
sync, frames are cut and checked by the real codec. It has no network and no waiting: the clock advances with the work
that is really done here, and skips every pause in which no node has work. So timeouts occur as they would, `busy` is
the work, and `elapsed_s` is what one machine would need, pauses included.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from crdtkv.config.model import ClusterConfig
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Sends
from crdtkv.node.kernel.events import Durable, Event, Now, PeerUp, Received
from crdtkv.storage.store import Store
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.frames import FrameSplitter
from crdtkv.wire.messages import GiveEntries, LeafReply, MembersPush, MembersReply, Message
from crdtkv.wire.outgoing import packed

GOSSIP = (MembersPush, MembersReply)


@dataclass
class Traffic:
    """The bytes on the links without gossip, by sender and receiver, and the messages by kind."""

    bytes_sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    entry_bytes: int = 0

    def note(self, sender: str, receiver: str, messages: Sequence[Message], size: int) -> None:
        """Count one send."""
        told = [message for message in messages if not isinstance(message, GOSSIP)]
        if not told:
            return
        self.bytes_sent[sender, receiver] += size
        for message in told:
            self.messages[type(message).__name__] += 1
            match message:
                case LeafReply(entries=entries) | GiveEntries(entries=entries):
                    self.entry_bytes += sum(map(_entry_bytes, entries))


class Replicas:
    """The nodes of one data center, whose replicas all hold everything."""

    def __init__(self, config: ClusterConfig, datacenter: str, stores: dict[str, Store]) -> None:
        self.stores = stores
        self.traffic = Traffic()
        self.busy_s = dict.fromkeys(stores, 0.0)
        self.cpu_s = 0.0
        self.longest_step_s = 0.0
        self._began = time.perf_counter()
        self._skipped_s = 0.0
        self._looked_at = 0
        first = config.first_topology(datacenter)
        entered = [replace(node, incarnation=f"{number:016x}") for number, node in enumerate(first.nodes)]
        topology = replace(first, nodes=tuple(entered))
        self.cores: dict[str, NodeCore] = {}
        for number, (name, store) in enumerate(stores.items(), 1):
            settings = NodeSettings(config, datacenter, name, topology, number)
            self.cores[name] = NodeCore(settings, store, Random(number), self._now())
        self._inbox: dict[str, list[Event]] = {
            name: [PeerUp(other) for other in stores if other != name] for name in stores
        }

    @property
    def elapsed_s(self) -> float:
        """Seconds on the nodes' clock: all work done here, and the pauses that were jumped over."""
        return time.perf_counter() - self._began + self._skipped_s

    @property
    def exchanges(self) -> int:
        """How many exchanges have begun on all nodes."""
        return sum(core.parts.kernel.step.stats.counters.get("merkle_exchanges", 0) for core in self.cores.values())

    @property
    def are_equal(self) -> bool:
        """Whether all trees are built and have the same roots; cheap while they are not."""
        forests = [core.parts.anti_entropy._forest for core in self.cores.values()]
        partitions = forests[0].partitions
        for _ in range(partitions):
            trees = [forest.tree(self._looked_at) for forest in forests]
            if len({tree.root if tree is not None else None for tree in trees}) > 1 or None in trees:
                return False
            self._looked_at = (self._looked_at + 1) % partitions
        return True

    def run_until(self, is_done: Callable[[], bool], within_s: float) -> None:
        """Let the nodes work until something holds.

        Raises:
            TimeoutError: it does not hold after that long on their clock.
        """
        give_up_s = self.elapsed_s + within_s
        while not is_done():
            if self.elapsed_s > give_up_s:
                raise TimeoutError(f"not so after {within_s:g} s")
            due = [name for name in self.cores if self._inbox[name] or self._timer(name) <= self.elapsed_s]
            if not due:
                self._skipped_s += max(0.0, min(map(self._timer, self.cores)) - self.elapsed_s)
            for name in due:
                self._step(name)

    def forget_measured(self) -> None:
        """Begin to count anew."""
        self.traffic = Traffic()
        self.busy_s = dict.fromkeys(self.stores, 0.0)
        self.cpu_s = 0.0
        self.longest_step_s = 0.0

    def _timer(self, name: str) -> float:
        at_s = self.cores[name].next_timer()
        return at_s if at_s is not None else float("inf")

    def _now(self) -> Now:
        return Now(self.elapsed_s, time.time_ns() // 1_000_000)

    def _step(self, name: str) -> None:
        began, cpu_s = time.perf_counter(), time.process_time()
        core = self.cores[name]
        events, self._inbox[name] = self._inbox[name], []
        effects = core.handle(events, self._now())
        self._send(name, effects.at_once)
        if effects.after_commit:
            self.stores[name].sync()
            self._inbox[name].append(Durable(effects.after_commit))
        self._send(name, effects.held)
        took_s = time.perf_counter() - began
        self.busy_s[name] += took_s
        self.cpu_s += time.process_time() - cpu_s
        self.longest_step_s = max(self.longest_step_s, took_s)

    def _send(self, sender: str, sends: Sends) -> None:
        for receiver, messages in sends.items():
            if isinstance(receiver, str):
                data = b"".join(packed(self.cores[sender].topology.epoch, messages).frames)
                self.traffic.note(sender, receiver, messages, len(data))
                self._inbox[receiver] += _received(sender, data)


def _entry_bytes(item: object) -> int:
    match item:
        case [_, bytes() as entry]:
            return len(entry)
    return 0


def _received(sender: str, data: bytes) -> Iterator[Received]:
    for payload in FrameSplitter().feed(data):
        frame = decode_frame(payload)
        yield Received(sender, frame.epoch, frame.messages)
