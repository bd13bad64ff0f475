"""The bytes between processes.

- `messages`: all messages. `codec`: encodes and decodes messages, with all checks. `frames`: frames of a link.
- `outgoing`, `weights`: how much is sent at once. `foreign`: recognizes servers that are no nodes. `subjects`: NATS
  subjects and headers.

Invariant: bytes that are not a known message raise `ProtocolError`, and no other error. Pure. Imported by all packages
that send.
"""
