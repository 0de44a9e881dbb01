"""A launcher that composes a whole sweep first and hands all jobs to the task in one call."""
