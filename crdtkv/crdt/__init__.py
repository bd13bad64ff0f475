"""The value types, one file each, and what a replica stores of them (`entry`).

A type is one file plus one line in `registry`.
"""
