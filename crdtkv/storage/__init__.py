"""The disk: `store` is the protocol, `rows` the layout, `rocks` and `memory` the implementations, `identity` who owns it."""
