"""The real host of a node: asyncio, links, NATS, RocksDB, real clocks.

- `node_server`: starts and stops everything. `stepper`: feeds the core, fsyncs, releases held effects.
- `node_disk`, `data_directory`: store, identity and directory. `client_links`, `link_log`, `open_files`: connections,
  log lines, file descriptors.

Invariant: it decides nothing; it carries out the effects of the core, in the order of its commits. Imported by the CLI
only.
"""
