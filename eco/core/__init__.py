"""The decision core: pure, synchronous, and small enough to be enumerated.

Nothing here knows a clock, an event loop, a disk, a socket or a random number.
Facts arrive as one `Observation` with the time in it; a `Decision` goes out.
"""
