"""The parts of `faults.py`: a recorded load, a strike at one node, and the observations of the others."""
