"""The Python client: connect, buckets, keys, counters, scans."""
