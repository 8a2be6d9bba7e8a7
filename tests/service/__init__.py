"""Farshore as a service of a host whose first process is systemd."""
