"""Corrections of a log by coders, codings made in other tools, and the agreement between two of them.

decisions   the file with one coder's decisions on one log, stored beside it
apply       a log with a coder's corrections applied
codings     any coding, from whatever tool, as a list of marks
agreement   compares two codings of one recording

A log is never changed.
"""
