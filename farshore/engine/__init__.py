"""The process that moves one copy's data: NBD clients on one side, volumes and links on the other.

Its imports are complete before it accepts a client, and neither asyncio nor a web framework nor the
command line is among them. It carries out what the core answers and tells the core how it went.
"""
