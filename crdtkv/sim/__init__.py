"""The simulation host: a whole cluster of `NodeCore`s in one thread, from one seed."""
