"""Checkers of histories: they read the operations of clients and their results, and import nothing of the product.

- `history`, `verdict`, `violation`: the data. `specified` and `specification`: the meaning of each value type.
- `dots`, `registers`, `counters`, `sets`, `sessions`, `quorums`, `linearizability`, …: one guarantee each.

Invariant: a checker shares no code with the product (import-linter checks it). Imported by the simulator and by tests
on real clusters; `python -m crdtkv.checking FILE` checks a file.
"""
