"""Decisions without a world: given a state and what just happened, what has to be done, in which order.

The order of durability, acknowledgement and sending is settled here and nowhere else. No file, socket,
clock or random number is touched, which lets the simulator run this very code. Of our own packages it
imports `farshore.model` and `farshore.errors` only.
"""
