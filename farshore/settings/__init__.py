"""What can be set for a node, where it is set, and what is wrong with what somebody wrote.

`known` lists the settings, `lines` reads a configuration file line by line, `file` finds its mistakes, and
`sources` says for each setting which value holds and where that was said. Shared by the node, which obeys,
and the command line, which explains.
"""
