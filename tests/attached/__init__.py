"""Volumes as devices of this host: what programs and file systems notice of deaths below them."""
