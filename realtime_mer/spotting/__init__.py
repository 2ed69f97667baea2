"""From the measurements of one face to movements with onset, apex and offset. No frames and no emotions here."""
