"""Many pieces of work at once: one task at a time in each of several processes, here or on a Ray cluster.

``engine`` knows nothing of faces; what is done with one recording is in ``recordings``.
"""
