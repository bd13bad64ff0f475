"""The scale of a simulated run."""
