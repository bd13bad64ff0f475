"""NATS: streams between data centers, and the topology document. The only package that imports nats."""
