"""The upkeep of a store: what is in it, whether it is whole, and what takes rows out of it or brings them together."""
