"""TCP links of one data center: between nodes, and from clients to nodes, on one port."""
