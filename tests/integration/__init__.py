"""Whole processes of the product, driven from outside through what their users see."""
