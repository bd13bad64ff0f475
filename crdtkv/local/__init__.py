"""A whole cluster on this machine: NATS servers and nodes as processes, and links that can be cut.

- `cluster`: starts and stops all of it in one directory. `directory`: whose directory that is.
- `nats_server`, `processes`, `ports`: one process each, on free ports. `proxy`, `cuts`: partitions between data
  centers.

Invariant: it ends only processes that it started. Imported by the CLI and by tests.
"""
