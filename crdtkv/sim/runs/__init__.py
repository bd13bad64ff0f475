"""The runs of a simulated run."""
