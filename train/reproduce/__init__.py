"""One module per paper: its printed tables, its protocol as published (with any leak named), and a clean protocol.

Everything printed under "ours" was trained and tested when the command ran, or comes from finished folds of the same
run. Figures of a paper are only printed beside ours.
"""

from train.reproduce.command import PAPERS

__all__ = ["PAPERS"]
