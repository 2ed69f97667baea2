"""One module a paper: its printed tables, its protocol as published (with its leak, named), and the same done cleanly.

Everything printed under "ours" was trained and tested when the command ran (or was taken from the finished folds of the
same run). A figure of a paper is never used for anything but being printed beside ours.
"""

from train.reproduce.command import PAPERS

__all__ = ["PAPERS"]
