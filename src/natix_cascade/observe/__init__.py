"""Listeners on run's events: metrics, traces, judge, dataset views. None of them may slow or break an answer."""
