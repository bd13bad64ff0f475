"""The disk of a node.

- `store`: the protocol. `rocks` and `memory` implement it; `rocks` is the only module that imports rocksdict.
- `rows`: the layout of rows. `patching`, `patch_format`: large entries as a base and small patches.
- `identity`: the owner and incarnation of a data directory. `files`: atomically replaced files. `directory_lock`: one
  process per directory.

Invariant: a commit is atomic, and a crash leaves a prefix of the commits. Imported by the node (protocol and rows) and
by the hosts.
"""
