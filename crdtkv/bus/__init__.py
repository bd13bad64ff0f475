"""NATS: streams between data centers, and the bucket of the topology document. The only package that imports nats.

- `connection`: one connection that stays, with its errors in words. `home`: the NATS of this data center (stream,
  topology bucket). `remote`: the NATS of another data center (this one's consumer there).

Invariant: nothing here decides what a message means; payloads go to the core and come from it as bytes.
Imported by the server only.
"""
