"""The command line: `crdtkv …`. The only package that imports typer and rich.

- `app` lists the verbs. `data`, `collections`, `watching`, `records`: values. `cluster_status`, `inspect`: the state of
  nodes.
- `cluster`, `partition`, `import_export`, `repair`, `restoring`: operations on a cluster. `demonstration`, `benchmark`.

Invariant: an error is one line that names a remedy, with an exit code; a key is printed as text, never as markup. No
package imports it.
"""
