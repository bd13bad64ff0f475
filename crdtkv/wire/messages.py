"""Every message, with what it means.

Requests carry an `id` chosen by the asker; the answer brings it back. `timeout_ms` is what is left of the caller's
deadline. `identity` is a key's `bucket NUL type NUL key`. `level` is the
text of a consistency level. Entries travel as their stored bytes.
Clients speak the first group with any node; a node that holds no replica forwards the same messages. The second
group is spoken between the nodes of one data center, the third between data centers, over NATS.
"""

from typing import NamedTuple

WIRE_VERSION = 1


class Hello(NamedTuple):
    """First message on a link: who speaks. `role` is `node` or `client`.

    `clock_ms` is the speaker's monotonic clock, so that the other side can name a time by which a request must begin.
    """

    cluster: str
    datacenter: str
    role: str
    name: str
    clock_ms: int = 0


class Beat(NamedTuple):
    """Heartbeat of a link: nothing but the sender's monotonic clock, as in `Hello`."""

    clock_ms: int


class GoAway(NamedTuple):
    """A node is about to stop, and waits so long for its clients to leave.

    They should send it nothing new, and close the link once they have all answers.
    """

    within_ms: int


class GetRequest(NamedTuple):
    """Read keys at a level: many in one message, because that is what clients send most.

    The n-th of `identities` (from 0) has the id `id + n`. Answered by `EntriesReply`s and `ErrorReply`s that together
    cover all ids.
    """

    id: int
    identities: list[object]
    level: str
    timeout_ms: int


class MutateRequest(NamedTuple):
    """Apply one operation of the key's type. Answered by `MutateReply`.

    `context` is the causal context the client had read (`CausalContext.to_wire`), None for a blind operation.
    `observed` is the highest timestamp the client has seen, 0 if none. What is written expires `ttl_ms` after its
    timestamp: never if that is 0, and as the bucket says if it is None.
    All tries of one operation have the same random `operation_id` (b"": it is not tried again); `tried` are the nodes
    that earlier ones went to, if any may have been carried out. The receiver must not begin after `begin_by_ms` of its
    own monotonic clock (0: whenever), because the client then tries elsewhere.
    """

    id: int
    identity: bytes
    operation: str
    arguments: list[object]
    context: list[object] | None
    observed: int
    level: str
    timeout_ms: int
    ttl_ms: int | None = None
    operation_id: bytes = b""
    tried: list[object] | None = None
    begin_by_ms: int = 0


class ScanRequest(NamedTuple):
    """Read the next page of one partition: keys whose identity begins with `prefix`, behind storage key `after`.

    Answered by `ScanReply`.
    """

    id: int
    partition: int
    prefix: bytes
    after: bytes
    limit: int
    level: str
    timeout_ms: int


class TopologyRequest(NamedTuple):
    """Ask for the ring and the buckets. Answered by `TopologyReply`."""

    id: int


class StatusRequest(NamedTuple):
    """Ask a node about itself. Answered by `StatusReply`."""

    id: int


class RepairRequest(NamedTuple):
    """Compare a partition with all its replicas now, None for all partitions. Answered by `StatusReply`."""

    id: int
    partition: int | None


class InspectRequest(NamedTuple):
    """Show what you yourself hold of this key, as a replica or for one that is away. Answered by `EntriesReply`.

    The entry is the stored bytes, expired or not; nobody else is asked, and nothing is mended.
    """

    id: int
    identity: bytes


class WatchRequest(NamedTuple):
    """Tell what comes behind `cursor` of the keys whose identities begin with one of `prefixes`.

    `partitions` says of which partitions (bits, `ring.partition_set`): the node must be a replica of each that counts.
    `cursor` is that of the last answer, empty to begin with the initial state. If there is nothing to tell, the answer
    waits up to `wait_ms` for a change. Answered by `WatchReply`.
    """

    id: int
    prefixes: list[object]
    partitions: bytes
    cursor: bytes
    limit: int
    wait_ms: int


class EntriesReply(NamedTuple):
    """The merged entries of consecutive ids, from `id` on; None for a key that was never written.

    To an `InspectRequest`: what the node holds itself.
    """

    id: int
    entries: list[object]


class MutateReply(NamedTuple):
    """The write is durable on as many replicas as its level asks.

    `timestamp` is its hybrid timestamp; `actor` and `counter` are its dot, the name of this one operation. `value` is
    what the operation has made of the number it is on, as the coordinator sees it, encoded as values are: of a counter,
    or of a member of a board that was incremented; None for all other operations.
    """

    id: int
    timestamp: int
    actor: str
    counter: int
    value: bytes | None = None


class ScanReply(NamedTuple):
    """One page as `[[identity, entry]…]`; `next_after` continues the scan, None at the partition's end."""

    id: int
    rows: list[object]
    next_after: bytes | None


class WatchReply(NamedTuple):
    """What this replica stores, durably, as `[[identity, entry]…]`, and the `cursor` to go on from.

    An entry that is None was a tombstone and is collected. `position` is the number of the last change told, None as
    long as the initial state is not; `head` is that of the last change there is. The numbers are the node's own.
    """

    id: int
    rows: list[object]
    cursor: bytes
    position: int | None
    head: int


class TopologyReply(NamedTuple):
    """The topology document (JSON) and the buckets as `[[name, default level]…]`.

    `datacenters` are the names of all data centers of the cluster, None from a node that does not tell; `entry_bytes`
    is what an entry may take, 0 if it is not told.
    """

    id: int
    document: bytes
    buckets: list[object]
    datacenters: list[object] | None = None
    entry_bytes: int = 0


class StatusReply(NamedTuple):
    """What the node knows of itself, as JSON."""

    id: int
    document: bytes


class ErrorReply(NamedTuple):
    """The request failed; `crdtkv.errors` knows code and fields."""

    id: int
    code: str
    fields: list[object]


class ReadReplica(NamedTuple):
    """Send me what you store of this key. Answered by `ReplicaEntry`.

    `seen` is the causal context of what the asker stores, if this is large, else None.
    """

    id: int
    identity: bytes
    seen: list[object] | None = None


class ReplicaEntry(NamedTuple):
    """What this replica stores, durably; None if nothing, or if the asker has seen all of it.

    Then it `is_same` as what the asker stores, or it `is_older`. If it `is_part`, it is only what the asker lacks, to
    be merged into what it stores; and it `is_older`, too, if the asker has seen what this replica has not.
    """

    id: int
    entry: bytes | None
    is_same: bool = False
    is_older: bool = False
    is_part: bool = False


class WriteReplica(NamedTuple):
    """Merge this entry into yours. Answered by `ReplicaWritten` or `ReplicaSuperseded`.

    `supersede_before` is the timestamp of a blind write, straight from its coordinator: the replica drops
    older versions that the coordinator did not hold. 0 everywhere else.
    With `basis`, a causal context, the entry is only what an operation changed: a replica that has not seen all of
    the basis refuses with `behind`, and is then sent the whole.
    `record` names the operation that made the write, and its dot (`node.operations.Record`); it is kept for a while.
    With `made_on` (16 bytes), the digest of the entry that the coordinator had before (zeros: none), `entry` is what it
    has now, and `newest` the highest timestamp in it: a replica that has the same entry stores it unread.
    """

    id: int
    identity: bytes
    entry: bytes
    supersede_before: int
    basis: list[object] | None = None
    record: bytes = b""
    made_on: bytes = b""
    newest: int = 0


class ReplicaWritten(NamedTuple):
    """The entries of these requests are merged and fsynced here."""

    ids: list[object]


class ReplicaSuperseded(NamedTuple):
    """As `ReplicaWritten`; and the replica dropped older versions on its own: `entry` is what is stored now."""

    id: int
    entry: bytes


class KeepHint(NamedTuple):
    """Keep this entry for the home replica `target`, which is down, and answer for it. Answered by `ReplicaWritten`.

    `is_unsent` says that no home replica took part in the write: whoever gets the entry sends it to other data centers.
    `record` as in `WriteReplica`.
    """

    id: int
    target: str
    identity: bytes
    entry: bytes
    is_unsent: bool
    record: bytes = b""


class FindOperation(NamedTuple):
    """Have you taken part in this operation on this key? Answered by `OperationFound`."""

    id: int
    identity: bytes
    operation_id: bytes


class OperationFound(NamedTuple):
    """The record of the operation, and the entry as it is here now, durably; b"" if this node knows nothing of it."""

    id: int
    record: bytes
    entry: bytes | None


class HandOff(NamedTuple):
    """Merge this unsent entry into yours, and send it to the other data centers. Answered by `ReplicaWritten`."""

    id: int
    identity: bytes
    entry: bytes


class ReadPartition(NamedTuple):
    """Send me a page of your rows of this partition. Answered by `PartitionRows`."""

    id: int
    partition: int
    prefix: bytes
    after: bytes
    limit: int


class PartitionRows(NamedTuple):
    """One page as `[[storage key, entry]…]`; `end` is the storage key up to which it is complete, None: to the end."""

    id: int
    rows: list[object]
    end: bytes | None


class RootsRequest(NamedTuple):
    """Compare the Merkle roots of these partitions with yours; `roots` has 16 bytes for each.

    Answered by `RootsReply`.
    """

    id: int
    partitions: list[object]
    roots: bytes


class RootsReply(NamedTuple):
    """Trees that differ, as many as fit, as `[[partition, leaves]…]`, 16 bytes a leaf.

    `left` are the partitions that were not compared: they did not fit, or have no tree here yet.
    """

    id: int
    trees: list[object]
    left: list[object]


class LeafRequest(NamedTuple):
    """Compare one leaf: `digests` are `[[storage key, 16 bytes]…]` behind `after`, complete up to `end` (None: all).

    Answered by `LeafReply`.
    """

    id: int
    partition: int
    leaf: int
    after: bytes
    end: bytes | None
    digests: list[object]


class LeafReply(NamedTuple):
    """What differs: `entries` the asker lacks or has otherwise, `[[storage key, entry]…]`, and keys `wanted` of it.

    `is_whole` says that nothing was left out for want of room.
    """

    id: int
    partition: int
    entries: list[object]
    wanted: list[object]
    is_whole: bool


class TombstonesRequest(NamedTuple):
    """May these tombstones go? `[[storage key, digest, timestamp]…]`. Answered by `TombstonesReply`."""

    id: int
    tombstones: list[object]


class TombstonesReply(NamedTuple):
    """The storage keys to which this node agrees: long enough already, or only just. It minds all the others."""

    id: int
    settled: list[object]
    agreed: list[object]


class DropTombstones(NamedTuple):
    """Drop these tombstones if you still agree: everybody has agreed. Answered by `TombstonesDropped`."""

    id: int
    tombstones: list[object]


class TombstonesDropped(NamedTuple):
    """The tombstones of these storage keys are no more on this replica's disk."""

    id: int
    dropped: list[object]


class RightsRequest(NamedTuple):
    """Give the incarnation `to` rights to decrement this `bcounter`: `amount`, if you can. Answered by `ReplicaEntry`.

    The answer tells who has which rights then, also if none were given.
    """

    id: int
    identity: bytes
    amount: int
    to: str


class MembersPush(NamedTuple):
    """Gossip: what changed last at the sender, a row a node. Answered by `MembersReply`."""

    rows: list[object]


class MembersReply(NamedTuple):
    """Gossip: what the push lacked."""

    rows: list[object]


class TopologyNews(NamedTuple):
    """The topology document (JSON) that the sender uses: the receiver spoke under an older epoch. Not answered."""

    document: bytes


class Refusal(NamedTuple):
    """The replica did nothing; `code` and `fields` as in `ErrorReply`. `wrong_epoch` brings the replica's epoch."""

    id: int
    code: str
    fields: list[object]


class GeoBatch(NamedTuple):
    """Entries that a node of another data center has in its outbox, as `[[outbox_seq, identity, entry]…]`.

    `actor` names the incarnation whose outbox numbers these are.
    """

    node: str
    actor: str
    rows: list[object]


class Confirm(NamedTuple):
    """A majority of the replicas in `datacenter` have made these outbox rows of `actor` durable."""

    datacenter: str
    actor: str
    outbox_seqs: list[object]


class RightsWanted(NamedTuple):
    """As `RightsRequest`, from another data center. Not answered: what is given goes there as every write does."""

    identity: bytes
    amount: int
    to: str


class FillWanted(NamedTuple):
    """The data center of `node` has lost disks: send it everything. Answered by `FillDone` when it has confirmed all.

    `incarnation` is that of the asker's disk.
    """

    node: str
    incarnation: int


class FillDone(NamedTuple):
    """The asker's data center has confirmed everything that `node` stored when it was asked."""

    node: str


Message = (
    Hello | Beat | GoAway | GetRequest | MutateRequest | ScanRequest | TopologyRequest | StatusRequest
    | RepairRequest | InspectRequest | EntriesReply | MutateReply | ScanReply | TopologyReply | StatusReply | ErrorReply
    | WatchRequest | WatchReply
    | ReadReplica | ReplicaEntry | WriteReplica | ReplicaWritten | ReplicaSuperseded
    | FindOperation | OperationFound
    | KeepHint | HandOff | ReadPartition | PartitionRows | RootsRequest | RootsReply | LeafRequest | LeafReply
    | TombstonesRequest | TombstonesReply | DropTombstones | TombstonesDropped
    | RightsRequest | MembersPush | MembersReply | TopologyNews | Refusal | GeoBatch | Confirm | RightsWanted
    | FillWanted | FillDone
)  # fmt: skip

#: The number of each message on the wire. Numbers are never reused.
NUMBERS: dict[type, int] = {
    Hello: 1,
    GetRequest: 2,
    MutateRequest: 3,
    ScanRequest: 4,
    TopologyRequest: 5,
    StatusRequest: 6,
    EntriesReply: 7,
    MutateReply: 8,
    ScanReply: 9,
    TopologyReply: 10,
    StatusReply: 11,
    ErrorReply: 12,
    RepairRequest: 13,
    InspectRequest: 14,
    WatchRequest: 15,
    WatchReply: 16,
    Beat: 17,
    GoAway: 18,
    ReadReplica: 20,
    ReplicaEntry: 21,
    WriteReplica: 22,
    ReplicaWritten: 23,
    ReplicaSuperseded: 27,
    KeepHint: 28,
    HandOff: 29,
    ReadPartition: 24,
    PartitionRows: 25,
    Refusal: 26,
    FindOperation: 34,
    OperationFound: 35,
    RootsRequest: 40,
    RootsReply: 41,
    LeafRequest: 42,
    LeafReply: 43,
    MembersPush: 44,
    MembersReply: 45,
    TopologyNews: 46,
    TombstonesRequest: 50,
    TombstonesReply: 51,
    DropTombstones: 52,
    TombstonesDropped: 53,
    GeoBatch: 30,
    Confirm: 31,
    RightsRequest: 32,
    RightsWanted: 33,
    FillWanted: 36,
    FillDone: 37,
}
