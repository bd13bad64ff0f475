"""Requests to several replicas, in flight: both ends of them.

- `reading` (with `read_repair`), `writing`, `scanning`, `finding_operations`, `forwarding`: one class each, a `Call`
  that is fed answers, losses and timers.
- `replica_selector`, `latencies`, `hedging`: which replicas a read asks, and when it asks one more.
- `replica_service`: what a replica answers.

Invariant: a call ends once, with a result that a quorum has on disk, or with an error that says how many answered.
The arithmetic is in `crdtkv.quorum`. Imported by coordination, rights and geo replication.
"""
