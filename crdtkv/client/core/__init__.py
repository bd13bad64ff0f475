"""The decisions of a client, without I/O: the node of each request, retries, and detection of silent nodes.

- `client_core`: `ClientCore` takes calls, frames and `events`, and returns `effects`.
- `reading`, `writing`, `scanning`, `sessions`, `subscription`, `connecting`, `asking`: one file per kind of call.
- `calls`, `retries`, `retry_budget`, `failures`: the end of calls, and retries of failed requests.
- `observations`: the timestamps and contexts that a caller has seen. `routing`, `datacenter`: the node of a request.
- `node_link`, `window`, `silence`: the requests in flight to one node. `step`, `timers`, `parts`: shared by all.

Invariant: a write is applied at most once over all its attempts, and its error says whether it may have been applied.
Two hosts run the same core: the asyncio client (`crdtkv.client`) and the simulated clients and watchers (`crdtkv.sim`).
The core reads no clock, uses no global randomness and does not wait: time and randomness are arguments.
"""
