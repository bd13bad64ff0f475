"""Judges of histories: they read what clients did and were answered, and import nothing of the product.

- `history`, `verdict`, `violation`: the data. `specified` and `specification`: what each value type means.
- `dots`, `registers`, `counters`, `sets`, `sessions`, `quorums`, `linearizability`, …: one guarantee each.

Invariant: a judge shares no code with what it judges (import-linter checks it).
Imported by the simulator and by tests on real clusters; `python -m crdtkv.checking FILE` judges a file.
"""
