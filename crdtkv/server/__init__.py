"""The real host of a node: asyncio, links, NATS, RocksDB, real clocks."""
