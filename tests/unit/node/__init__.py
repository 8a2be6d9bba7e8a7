"""The node's pure parts and its records: what is kept, what is refused, what is decided."""
