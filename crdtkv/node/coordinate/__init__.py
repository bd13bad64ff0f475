"""The handling of clients' requests.

- `admission`: the queue in front, bounded by its delay.
- `coordinator`: checks a request, places it on the ring, forwards it or carries it out.
- `mutation_flow`: the phases of a write: find an earlier try, read first, mint the dot, replicate, answer.
- `background_read_repair`: compares other replicas after reads that one replica has answered.

Invariant: a refused request has written nothing, or its error says that it may have. Imported by the core only.
"""
