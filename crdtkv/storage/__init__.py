"""The disk of a node.

- `store`: the protocol. `rocks` and `memory` implement it; `rocks` is the only module that imports rocksdict.
- `rows`: the layout of rows. `patching`, `patches`: large entries as a base and small changes.
- `identity`, `files`, `directory_lock`: whose disk this is, files that are replaced whole, one process per directory.

Invariant: a commit is atomic, and a crash leaves a prefix of the commits. Imported by the node (protocol and rows) and
by the hosts.
"""
