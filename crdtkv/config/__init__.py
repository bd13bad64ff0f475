"""The cluster's configuration.

- `model`: the options, with their types, bounds and defaults. `contradictions`: options that exclude each other.
- `addresses`: host and port in text. `loader`: reads the YAML file, strictly. The only module that imports yaml.

Invariant: a configuration object is valid, or does not exist. Imported by all packages that are configured.
"""
