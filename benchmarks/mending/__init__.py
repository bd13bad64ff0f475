"""The parts of `anti_entropy.py`: replicas in one process, their rows, and the table of the cost of repair."""
