"""A whole cluster on this machine: NATS servers and nodes as processes, and links that can be cut.

- `cluster`: starts and stops all processes in one directory. `directory`: checks the owner of that directory.
- `nats_server`, `processes`, `ports`: one process each, on free ports. `proxy`, `partitions`: network partitions
  between data centers.

Invariant: it ends only processes that it started. Imported by the CLI and by tests.
"""
