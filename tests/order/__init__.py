"""Order, looked at from outside: what copies hold that were stopped dead under load."""
