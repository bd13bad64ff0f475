"""Real processes: nats-server and nodes of two data centers, the client, and the `crdtkv` program."""
