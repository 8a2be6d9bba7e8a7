"""What somebody who helps with a node wants to see of it, packed into one file without its secrets.

`parts` says what that is, `host` and `node` get it, `secrets` takes out what nobody may see, `bundle` writes
the file. Nothing is changed, a node that is down is no obstacle, and what could not be had is named.
"""
