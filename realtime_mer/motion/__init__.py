"""How one face moves: registration to an anchor in every frame, the ring of recent frames, the recognizer's input."""
