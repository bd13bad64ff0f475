"""The world of a simulated run."""
