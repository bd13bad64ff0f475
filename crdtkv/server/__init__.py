"""The real host of a node: asyncio, links, NATS, RocksDB, real clocks.

- `node_server`: starts and stops everything. `stepper`: feeds the core, fsyncs, releases what was held.
- `node_disk`, `data_directory`: store, identity and directory. `client_links`, `link_log`, `open_files`: connections,
  log lines, file descriptors.

Invariant: it decides nothing; what the core returns is carried out, in the order of its commits.
Imported by the CLI only.
"""
