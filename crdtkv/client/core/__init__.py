"""The client's decisions, without I/O: which node gets a request, when it is tried again, what a node's silence means.

- `client_core`: `ClientCore`, which takes calls, frames and `events`, and returns `effects`.
- `reading`, `writing`, `scanning`, `sessions`, `following`, `connecting`, `asking`: one file per kind of call.
- `calls`, `retries`, `retry_budget`, `failures`: how a call ends, and when a failed request is tried again.
- `observations`: what the calls of one caller have seen. `routing`, `datacenter`: which node gets a request.
- `node_link`, `window`, `silence`: the requests in flight to one node. `step`, `timers`, `parts`: shared by all.

Invariant: a write is carried out at most once, over all its attempts, and its error says whether it may have been.
Two hosts run the same core: the asyncio client (`crdtkv.client`) and the simulated clients and watchers (`crdtkv.sim`).
Nothing here reads a clock, draws from a global source of randomness, or waits: time and randomness are arguments.
"""
