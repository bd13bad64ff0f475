"""The command line: `crdtkv …`. The only package that imports typer and rich.

- `app` lists the verbs. `data`, `collections`, `watching`, `records`: values. `cluster_status`, `inspect`: what nodes
  hold.
- `cluster`, `partition`, `import_export`, `repair`, `restoring`: operations on a cluster. `demonstration`, `benchmark`.

Invariant: errors are one line that says what to do, with an exit code; a key is printed as text, never as markup.
Imported by nothing.
"""
