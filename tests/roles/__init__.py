"""Roles that move between real nodes: by a plan, without one, and back."""
