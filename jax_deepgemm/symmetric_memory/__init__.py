"""Device memory that all ranks of a mesh axis reach, beside XLA's.

One address table for all process models: `allocation.allocate` fills, for each
device of this process, the addresses of its group's arenas as that device sees
them.
"""
