"""`NodeCore`: one node's decisions, composed from the protocols below it. Pure: events in, effects out."""
