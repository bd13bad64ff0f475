"""The Python client: connections, buckets, handles of all types, sessions, scans and watches."""
