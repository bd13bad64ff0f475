"""The real host of a node: asyncio, links, NATS, RocksDB, real clocks.

- `node_server`: starts and stops everything. `stepper`: feeds the core, fsyncs, releases what was held.
- `client_links`, `link_log`, `open_files`, `data_directory`: connections, log lines, file descriptors, the directory.

Invariant: it decides nothing; what the core returns is carried out, in the order of its commits.
Imported by the CLI only.
"""
