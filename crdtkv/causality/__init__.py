"""Dots, version vectors, causal contexts and hybrid timestamps: which operation has seen which.

- `dot`, `version_vector`, `context`: the operations that an entry has seen. `seen`: those that a client has seen.
- `hybrid_clock`: timestamps that never go back, and follow timestamps from elsewhere up to a bound.

Invariant: values are immutable, and pure. Imported by all packages that handle entries.
"""
