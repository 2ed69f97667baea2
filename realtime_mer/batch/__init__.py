"""Many pieces of work at once: one task at a time in each of several processes, here or on a Ray cluster.

``engine`` knows nothing of faces: recordings (``recordings``) and the folds of ``train evaluate`` run on it alike.
What a study's results become is in ``collect``.
"""
