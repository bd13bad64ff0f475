"""How many replicas must answer: levels, the tally, and the calls that are counted with it."""
