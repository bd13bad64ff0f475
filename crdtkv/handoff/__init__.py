"""Writes that a home replica could not take: who takes its place (`seats`), and what is kept for it (`hints`)."""
