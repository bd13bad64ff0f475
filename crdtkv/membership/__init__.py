"""Who is alive, and how loaded: the member table that nodes of one data center gossip, and the failure detector."""
