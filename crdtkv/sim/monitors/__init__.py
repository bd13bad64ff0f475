"""The monitors of a simulated run."""
