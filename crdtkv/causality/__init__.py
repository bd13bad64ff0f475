"""Who knew what, and when: dots, version vectors, causal contexts, hybrid timestamps."""
