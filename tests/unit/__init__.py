"""Fast tests of single pieces, without a network: what `make check` runs."""
