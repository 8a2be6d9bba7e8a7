"""One process per attached volume: a file, and for root a block device, with an engine's export behind it.

`requests` and `standing` decide (what is under way, what is sent again, how long requests are held);
`one_file` is the file system with the one file; the others carry bytes between the kernel and the engine.
"""
