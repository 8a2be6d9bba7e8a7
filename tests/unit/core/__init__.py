"""Statements about the core's decisions."""
