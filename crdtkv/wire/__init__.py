"""The bytes between processes.

- `messages`: the catalogue. `codec`: messages to bytes and back, strictly. `frames`: frames of a link.
- `outgoing`, `weights`: how much is sent at once. `foreign`: what newer versions may send. `subjects`: NATS subjects
  and headers.

Invariant: bytes that are not a message of the catalogue are a `ProtocolError`, never anything else. Pure.
Imported by everything that sends.
"""
