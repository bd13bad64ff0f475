"""Whole runs: carried out, checked, repeated, and cut down.

- `run`: one run: faults, healing, quiet, the checks of its history.
- `runner`: verdicts of one run or many, over several processes. `shrink`: the smallest plan that fails in the same way.

Invariant: a verdict names the plan that repeats it. Only `__main__`, tests and benchmarks import it.
"""
