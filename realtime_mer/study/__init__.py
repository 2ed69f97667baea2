"""Studies: the results of many recordings as one data set, with participants, conditions and a summary."""
