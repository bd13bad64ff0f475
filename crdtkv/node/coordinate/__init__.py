"""What a node does with a client's request.

- `admission`: the queue in front, bounded by the delay in it.
- `coordinator`: checks a request, places it on the ring, forwards it or carries it out.
- `mutation_flow`: the phases of a write: find an earlier try, read first, make the dot, replicate, answer.
- `background_read_repair`: compares other replicas behind reads that one replica has answered.

Invariant: a refused request has written nothing, or its error says that it may have. Imported by the core only.
"""
