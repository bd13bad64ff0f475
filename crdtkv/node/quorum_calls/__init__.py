"""Requests to several replicas, in flight: the side of the coordinator, and the side of the replica.

- `digest_reading`, `reading` (with `read_repair`), `writing`, `applying`, `scanning`, `finding_operations`,
  `forwarding`: one class each, a `Call` that receives answers, losses and timers.
- `asking` (with `replica_selector`, `latencies`, `hedging`): which replicas a read asks, and when it asks one more.
- `storing`: what all writes share: refusals, losses, hints, the deadline.
- `replica_service`: the answers of a replica.

Invariant: a call ends once, with a result that a quorum has on disk, or with an error that contains the number of
answers. The arithmetic is in `crdtkv.quorum`. Imported by coordination, rights and geo replication.
"""
