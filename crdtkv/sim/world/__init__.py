"""The simulated world around the cores: processes, disks, links, NATS, time and trace.

- `sim_world`: starts, stops and links nodes. `host`: one node. `environment`: what all parts share.
- `disk`, `network`, `nats` (with `stream`, `bucket`), `scheduler`: what they run on, with all faults that it may have.
- `observer`: the events of the world. `view`: what monitors may read of it. `tracing`: the trace and its digest.
- `stored`, `states`, `patched`, `expanded`, `shown`: stored bytes, messages and values in the form that checks read.

Invariant: only the plan decides the order of events; observers change nothing. Actors and monitors import it.
"""
