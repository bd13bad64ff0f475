"""What a node shows over HTTP: `/healthz`, `/readyz`, `/status` and Prometheus metrics.

- `http`: the web application, with limits for connections and requests. `metrics`: counters of the core as families.

Invariant: HTTP reads, and changes nothing. Imported by the server only.
"""
