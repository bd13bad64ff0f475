"""Where keys live: tokens, the consistent-hash ring, the topology document."""
