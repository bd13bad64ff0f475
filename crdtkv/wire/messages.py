"""All messages, with their meaning.

Requests carry an `id` chosen by the requester; the answer has the same. `timeout_ms` is the remaining time of the
caller's deadline. `identity` is a key's `bucket NUL type NUL key`. `level` is the text of a consistency level. Entries
travel as their stored bytes.

Clients send the first group to any node; a node that is no replica forwards the same messages. The nodes of one data
center exchange the second group, data centers the third, over NATS.
"""

from typing import NamedTuple

WIRE_VERSION = 1


class Hello(NamedTuple):
    """First message on a link: the identity of the sender. `role` is `node` or `client`.

    `clock_ms` is the sender's monotonic clock, so that the other side can name a time by which a request must begin.
    """

    cluster: str
    datacenter: str
    role: str
    name: str
    clock_ms: int = 0


class Beat(NamedTuple):
    """Heartbeat of a link, with the sender's monotonic clock, as in `Hello`."""

    clock_ms: int


class GoAway(NamedTuple):
    """A node is about to stop, and waits up to `within_ms` for its clients to leave.

    They should send no new requests, and close the link when they have all answers.
    """

    within_ms: int


class GetRequest(NamedTuple):
    """Read keys at a level: many in one message, because reads are the most frequent requests.

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
    `observed` is the highest timestamp the client has seen, 0 if none. The written value expires `ttl_ms` after the
    write: never if that is 0, by the default of the bucket if it is None.

    All tries of one operation have the same random `operation_id` (b"": it is never retried). `tried` are the nodes
    that earlier tries were sent to, if any may have been carried out. The receiver must not begin after `begin_by_ms`
    of its own monotonic clock (0: no limit), because the client then tries another node.
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
    """Read the next page of one partition: keys whose identity begins with `prefix`, after storage key `after`.

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
    """Request the ring and the buckets. Answered by `TopologyReply`."""

    id: int


class StatusRequest(NamedTuple):
    """Request the status of the node. Answered by `StatusReply`."""

    id: int


class RepairRequest(NamedTuple):
    """Compare a partition with all its replicas now, all partitions if it is None. Answered by `StatusReply`.

    With a `datacenter`, compare all partitions with those of that data center, and with no replicas here.
    """

    id: int
    partition: int | None
    datacenter: str | None = None


class InspectRequest(NamedTuple):
    """Request the receiver's own entry of a key, as a home replica or from its hints. Answered by `EntriesReply`.

    The entry is the stored bytes, expired or not; no other node is asked, and nothing is repaired.
    """

    id: int
    identity: bytes


class WaitRequest(NamedTuple):
    """Wait until an earlier write is durable at a majority of the home replicas in each of these data centers.

    `actor` and `counter` are the dot of the write. Answered by `MutateReply` with that dot.
    """

    id: int
    identity: bytes
    actor: str
    counter: int
    datacenters: list[object]
    timeout_ms: int


class WatchRequest(NamedTuple):
    """Request the changes after `cursor` of the keys whose identities begin with one of `prefixes`.

    `partitions` is the set of partitions (bits, `ring.partition_set`); the node must be a replica of each and count.
    `cursor` is that of the last answer, empty to begin with the initial state. If there are no changes, the answer
    waits up to `wait_ms` for one. Answered by `WatchReply`.
    """

    id: int
    prefixes: list[object]
    partitions: bytes
    cursor: bytes
    limit: int
    wait_ms: int


class EntriesReply(NamedTuple):
    """The merged entries of consecutive ids, from `id` on; None for a key that was never written.

    In answer to an `InspectRequest`: the node's own entry.
    """

    id: int
    entries: list[object]


class MutateReply(NamedTuple):
    """The write is durable on as many replicas as its level requires.

    `timestamp` is its hybrid timestamp; `actor` and `counter` are its dot. `value` is the number that an increment or
    decrement has produced, of a counter or of a member of a board, as the coordinator sees it, encoded as values are;
    None for all other operations. `datacenters` are those in which the write is durable, if the level waits for others.
    """

    id: int
    timestamp: int
    actor: str
    counter: int
    value: bytes | None = None
    datacenters: list[object] | None = None


class ScanReply(NamedTuple):
    """One page as `[[identity, entry]…]`; `next_after` continues the scan, None at the partition's end."""

    id: int
    rows: list[object]
    next_after: bytes | None


class WatchReply(NamedTuple):
    """Stored entries of this replica, durable, as `[[identity, entry]…]`, and the `cursor` to continue from.

    An entry that is None was a tombstone and is collected. `position` is the number of the last change that was sent,
    None until the initial state is complete; `head` is the number of the last change in the log. Both are the node's
    own.
    """

    id: int
    rows: list[object]
    cursor: bytes
    position: int | None
    head: int


class TopologyReply(NamedTuple):
    """The topology document (JSON) and the buckets as `[[name, default level]…]`.

    `datacenters` are the names of all data centers of the cluster, `entry_bytes` is the size limit of entries; None and
    0 from an older node.
    """

    id: int
    document: bytes
    buckets: list[object]
    datacenters: list[object] | None = None
    entry_bytes: int = 0


class StatusReply(NamedTuple):
    """The status of the node, as JSON."""

    id: int
    document: bytes


class ErrorReply(NamedTuple):
    """The request failed; `crdtkv.errors` defines codes and fields."""

    id: int
    code: str
    fields: list[object]


class ReadReplica(NamedTuple):
    """Request the receiver's entry of a key. Answered by `ReplicaEntry`.

    `seen` is the causal context of the requester's entry, if that is large, else None.
    """

    id: int
    identity: bytes
    seen: list[object] | None = None


class ReplicaEntry(NamedTuple):
    """The replica's entry, durable; None if it has none, or if the requester has seen all of it.

    In the latter case, the requester's entry `is_same`, or this one `is_older`. If it `is_part`, `entry` is only the
    part that the requester lacks, to be merged into its entry; it `is_older`, too, if the requester has seen operations
    that this replica has not.
    """

    id: int
    entry: bytes | None
    is_same: bool = False
    is_older: bool = False
    is_part: bool = False


class DigestRead(NamedTuple):
    """Compare the receiver's entries with those of the requester. Answered by `DigestReply`.

    `rows` is `[identity, digest, identity, …]`; a digest has 16 bytes, or none if the requester has no entry.
    """

    id: int
    rows: list[object]


class DigestReply(NamedTuple):
    """The positions (from 0) of the keys of which the replica may hold another entry; it holds the others durably."""

    id: int
    different: list[object]


class WriteReplica(NamedTuple):
    """Merge an entry into the receiver's. Answered by `ReplicaWritten` or `ReplicaSuperseded`.

    `supersede_before` is the timestamp of a blind write, directly from its coordinator: the replica drops older
    versions that the coordinator did not hold. It is 0 in all other cases.

    With `basis`, a causal context, the entry is a partial delta: a replica that has not seen all of the basis refuses
    with `behind`, and then gets the whole entry. `record` is the operation record of the write
    (`node.replica.operations.Record`); the replica keeps it for a while.
    """

    id: int
    identity: bytes
    entry: bytes
    supersede_before: int
    basis: list[object] | None = None
    record: bytes = b""


class WriteReplicas(NamedTuple):
    """The writes of one step as `[id, identity, entry, supersede_before, record, made_on, newest, id, …]`.

    Each is answered as a `WriteReplica` is. `made_on` (16 bytes) is the digest of the entry that the coordinator had
    before, zeros for none; `entry` is what it has now, and `newest` the highest timestamp in it. So a replica that has
    the same entry as the coordinator had may store this one unread.
    """

    rows: list[object]


class ApplyEntries(NamedTuple):
    """Merge entries of another data center: `rows` is `[identity, entry, made_on, newest, identity, …]`.

    Answered by `ReplicaWritten` when all of them are durable, or by a `Refusal`. `made_on` and `newest` are as in
    `WriteReplicas`; `made_on` is b"" if the entry must be merged.
    """

    id: int
    rows: list[object]


class ReplicaWritten(NamedTuple):
    """The entries of these requests are merged and fsynced here."""

    ids: list[object]


class ReplicaSuperseded(NamedTuple):
    """As `ReplicaWritten`; and the replica dropped older versions on its own: `entry` is its stored entry now."""

    id: int
    entry: bytes


class KeepHint(NamedTuple):
    """Store this entry for the home replica `target`, which is down, and answer reads from it.

    Answered by `ReplicaWritten`. `is_unsent` says that no home replica took part in the write: the first home replica
    that gets the entry sends it to other data centers. `record` is as in `WriteReplica`.
    """

    id: int
    target: str
    identity: bytes
    entry: bytes
    is_unsent: bool
    record: bytes = b""


class FindOperation(NamedTuple):
    """Request the record of an operation on this key. Answered by `OperationFound`."""

    id: int
    identity: bytes
    operation_id: bytes


class OperationFound(NamedTuple):
    """The record of the operation, and this node's entry, durable; b"" and None if it does not know the operation."""

    id: int
    record: bytes
    entry: bytes | None


class HandOff(NamedTuple):
    """Merge this unsent entry, and send it to the other data centers. Answered by `ReplicaWritten`."""

    id: int
    identity: bytes
    entry: bytes


class ReadPartition(NamedTuple):
    """Request a page of the receiver's rows of this partition. Answered by `PartitionRows`."""

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
    """Compare the Merkle roots of these partitions with the receiver's; `roots` has 16 bytes for each.

    Answered by `RootsReply`.
    """

    id: int
    partitions: list[object]
    roots: bytes


class RootsReply(NamedTuple):
    """Trees that differ, as many as fit, as `[[partition, leaves]…]`, 16 bytes a leaf.

    `left` are the partitions that were not compared: they did not fit, or have no tree here yet. Of those in `unheld`
    this node is no replica.
    """

    id: int
    trees: list[object]
    left: list[object]
    unheld: list[object]


class LeafRequest(NamedTuple):
    """Compare the entries of leaves `first` to `last` after the storage key `after`, up to `end` (None: all).

    `digests` are those of the sender, `[[storage key, 16 bytes]…]`; the digest of a large entry is followed by its
    context. Answered by `LeafReply`.
    """

    id: int
    partition: int
    first: int
    last: int
    after: bytes
    end: bytes | None
    digests: list[object]


class LeafReply(NamedTuple):
    """Differences: `entries` that the requester lacks, and the `wanted` keys that it should send.

    `entries` are `[[storage key, entry]…]`; a partial delta has its basis as a third item. `is_whole` says that nothing
    was left out for lack of room.
    """

    id: int
    partition: int
    entries: list[object]
    wanted: list[object]
    is_whole: bool


class GiveEntries(NamedTuple):
    """Store these entries of a partition, which the receiver wanted; they are as in `LeafReply`.

    Answered by `EntriesTaken`.
    """

    id: int
    partition: int
    entries: list[object]


class EntriesTaken(NamedTuple):
    """The entries are durable: on this replica, or in a data center at a majority of the home replicas.

    `is_whole` is False if one of them was not stored.
    """

    id: int
    partition: int
    is_whole: bool


class TombstonesRequest(NamedTuple):
    """Request agreement to collect `[[storage key, digest, timestamp]…]`. Answered by `TombstonesReply`."""

    id: int
    tombstones: list[object]


class TombstonesReply(NamedTuple):
    """The storage keys to which this node agrees, for `settle_s` already or not yet. All others were refused."""

    id: int
    settled: list[object]
    agreed: list[object]


class DropTombstones(NamedTuple):
    """Drop these tombstones if the receiver still agrees: all nodes have agreed. Answered by `TombstonesDropped`."""

    id: int
    tombstones: list[object]


class TombstonesDropped(NamedTuple):
    """The tombstones of these storage keys are removed from this replica's disk."""

    id: int
    dropped: list[object]


class RightsRequest(NamedTuple):
    """Give the incarnation `to` rights to decrement this `bcounter`: `amount`, if possible. Answered by `ReplicaEntry`.

    The answer contains the rights of all nodes, also if none were given.
    """

    id: int
    identity: bytes
    amount: int
    to: str


class MembersPush(NamedTuple):
    """Gossip: the rows that changed last at the sender, one per node. Answered by `MembersReply`."""

    rows: list[object]


class MembersReply(NamedTuple):
    """Gossip: the rows that the push lacked."""

    rows: list[object]


class TopologyNews(NamedTuple):
    """The topology document (JSON) of the sender, to a node that used an older epoch. Not answered."""

    document: bytes


class Refusal(NamedTuple):
    """The replica did nothing; `code` and `fields` as in `ErrorReply`.

    The field of `wrong_epoch` is the replica's epoch.
    """

    id: int
    code: str
    fields: list[object]


class GeoBatch(NamedTuple):
    """Entries in the outbox of a node of another data center, as `[[outbox_seq, identity, entry]…]`.

    `actor` names the incarnation to which these outbox numbers belong.
    """

    node: str
    actor: str
    rows: list[object]


class Confirm(NamedTuple):
    """A majority of the replicas in `datacenter` has made these outbox rows of `actor` durable."""

    datacenter: str
    actor: str
    outbox_seqs: list[object]


class RightsWanted(NamedTuple):
    """As `RightsRequest`, from another data center. Not answered: the rights arrive there by replication."""

    identity: bytes
    amount: int
    to: str


class BusSender(NamedTuple):
    """The node of another data center that sends the other messages of this frame: those of an exchange."""

    node: str


class GeoWrite(NamedTuple):
    """Store an entry at a majority of the home replicas of the receiver's data center, or at all of them.

    Answered by `GeoWritten`.
    """

    id: int
    identity: bytes
    entry: bytes
    is_for_all: bool
    timeout_ms: int


class GeoWritten(NamedTuple):
    """The entry is durable at as many replicas as were requested; if not `is_stored`, this node cannot say so."""

    id: int
    is_stored: bool


class GeoRead(NamedTuple):
    """Read a key from a majority of the home replicas of the receiver's data center, or from all of them.

    Answered by `GeoEntry`.
    """

    id: int
    identity: bytes
    is_for_all: bool
    timeout_ms: int


class GeoEntry(NamedTuple):
    """The merged entry, None if the key was never written there; if not `is_read`, this node could not read it."""

    id: int
    entry: bytes | None
    is_read: bool


Message = (
    Hello | Beat | GoAway | GetRequest | MutateRequest | ScanRequest | TopologyRequest | StatusRequest
    | RepairRequest | InspectRequest | WaitRequest | EntriesReply | MutateReply | ScanReply | TopologyReply
    | StatusReply | ErrorReply | WatchRequest | WatchReply
    | ReadReplica | ReplicaEntry | DigestRead | DigestReply
    | WriteReplica | WriteReplicas | ApplyEntries | ReplicaWritten | ReplicaSuperseded
    | FindOperation | OperationFound
    | KeepHint | HandOff | ReadPartition | PartitionRows | RootsRequest | RootsReply | LeafRequest | LeafReply
    | TombstonesRequest | TombstonesReply | DropTombstones | TombstonesDropped
    | RightsRequest | MembersPush | MembersReply | TopologyNews | Refusal | GeoBatch | Confirm | RightsWanted
    | GiveEntries | EntriesTaken | BusSender | GeoWrite | GeoWritten | GeoRead | GeoEntry
)  # fmt: skip

#: How many items of `WriteReplicas.rows` one write takes, and of `ApplyEntries.rows` one entry.
WRITE_WIDTH = 7
APPLY_WIDTH = 4

#: The number of each message on the wire. Numbers are never reused (earlier versions: 36, 37).
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
    WaitRequest: 61,
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
    WriteReplicas: 38,
    ApplyEntries: 49,
    DigestRead: 47,
    DigestReply: 48,
    FindOperation: 34,
    OperationFound: 35,
    RootsRequest: 40,
    RootsReply: 41,
    LeafRequest: 42,
    LeafReply: 43,
    GiveEntries: 54,
    EntriesTaken: 55,
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
    BusSender: 56,
    GeoWrite: 57,
    GeoWritten: 58,
    GeoRead: 59,
    GeoEntry: 60,
}
