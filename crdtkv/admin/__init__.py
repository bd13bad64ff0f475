"""What a node shows over HTTP: health, readiness, metrics."""
