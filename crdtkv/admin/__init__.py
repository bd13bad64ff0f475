"""The HTTP endpoints of a node: `/healthz`, `/readyz`, `/status` and Prometheus metrics.

- `http`: the web application, with limits for connections and requests. `metrics`: counters of the core as families.

Invariant: HTTP requests read, and change nothing. Imported by the server only.
"""
