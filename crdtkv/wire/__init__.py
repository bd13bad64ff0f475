"""The bytes between processes: messages, their codec, frames on links, subjects and headers on the bus."""
