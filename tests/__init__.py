"""Tests, in folders that mirror the package, and the pieces that they share."""
