"""Formats that cross sockets: golden bytes, round trips, and everything malformed refused."""
