"""Sharing a recording's motion without its pictures: what was measured, written down, and analyzed again from there.

``tape`` takes down what registration measures on its way to the spotter; ``files`` keeps it; ``again`` makes events of
it; ``survival`` compares them with those that were published. docs/sharing.md is for the user.
"""
