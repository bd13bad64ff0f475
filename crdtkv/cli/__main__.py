"""`python -m crdtkv.cli`: the same as `crdtkv`."""

from crdtkv.cli.app import main

main()
