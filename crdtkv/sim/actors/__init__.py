"""The actors of a simulated run."""
