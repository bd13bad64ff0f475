"""What `anti_entropy.py` is made of: replicas in one process, their rows, and the table of what mending cost."""
