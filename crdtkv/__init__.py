"""crdtkv: a CRDT-based, geo-replicated key-value store over a message bus."""
