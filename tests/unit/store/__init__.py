"""Durable records and volumes: golden bytes, torn writes, damage, and the file layer's conformance."""
