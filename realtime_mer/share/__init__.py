"""Shares a recording's motion without its pictures: writes the measurements, and analyzes them again.

``tape`` records what registration passes to the spotter; ``files`` stores it; ``again`` makes events from it;
``survival`` compares them with the published ones. docs/sharing.md is the user's guide.
"""
