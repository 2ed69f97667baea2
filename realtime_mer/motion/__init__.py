"""How one face moves: registration to an anchor in every frame, the recent frames, and the recognizer's input."""
