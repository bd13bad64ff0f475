"""The command line: `crdtkv …`. The only package that imports typer and rich."""
