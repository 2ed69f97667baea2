"""A study: the results of many recordings as one data set, with participants and conditions, and a summary of it."""
