"""Judges of histories: they know what clients were told, and nothing of the product that told them."""
