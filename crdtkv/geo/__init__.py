"""Between data centers: what others still miss (`outbox`), and what arrived from them (`inbox`)."""
