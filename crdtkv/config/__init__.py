"""The cluster's configuration: `model` says what is allowed, `loader` reads the YAML file."""
