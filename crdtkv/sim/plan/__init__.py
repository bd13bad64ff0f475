"""The plan of a simulated run."""
