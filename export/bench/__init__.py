"""Every network on every back end: time, size, and what a change of the file does to the answers."""
