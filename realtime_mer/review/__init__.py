"""What people make of a log: corrections by coders, codings of other tools, and how well two of them agree.

decisions   the file of one coder's decisions on one log, beside it
apply       a log as a coder has corrected it
codings     anything that was coded, by whatever tool, as a list of marks
agreement   two codings of one recording compared

A log is never changed. Nothing here knows the page; imports no sink but the readers of the log.
"""
