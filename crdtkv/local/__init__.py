"""A whole cluster on this machine: NATS servers and nodes as processes, and links that can be cut."""
