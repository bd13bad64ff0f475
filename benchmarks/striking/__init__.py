"""What `faults.py` is made of: a recorded load, a strike at one node, and what was seen meanwhile."""
