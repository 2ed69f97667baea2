"""The same video through this pipeline and through other tools, in turns, each in an environment of its own."""
