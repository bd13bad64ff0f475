"""What `side_by_side.py` is made of: the systems, one file each, and how rounds of them are measured and shown."""
