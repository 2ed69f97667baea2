"""Many recordings at once: a pool of processes, here or on a Ray cluster, each working on one task at a time.

``engine`` runs any tasks; ``recordings`` analyzes one recording.
"""
