"""Runs the same video through this pipeline and other tools, in turns, each in its own environment."""
