"""The value types, one file each, and the form in which a replica stores them (`entry`).

A type is one file plus one line in `registry`.
"""
