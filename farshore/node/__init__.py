"""What one host is meant to replicate, and the supervision that makes it so.

It never touches data: that is the engines' part, which it reaches by their control sockets and which
outlive it when it stops.
"""
