"""The client's decisions, without I/O: which node gets a request, when it is tried again, and what silence means.

`ClientCore.handle(events, now)` takes what has happened and returns what the host has to do. Two hosts run the same
core: the asyncio client (`crdtkv.client`) and the simulated clients and watchers (`crdtkv.sim`). Nothing here reads a
clock, draws from a global source of randomness, or waits; time and randomness are passed in.
"""
