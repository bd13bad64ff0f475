"""The disk: `store` is the protocol, `rows` the layout, `rocks` and `memory` implement it; `identity`: whose it is."""
