"""Many recordings at once: a pool of processes, here or on a Ray cluster, each working on one task at a time.

``engine`` knows nothing of faces; ``recordings`` is what happens to one recording.
"""
