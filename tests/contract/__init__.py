"""One suite per protocol, run on every implementation, and the traps of the libraries below them."""
