"""Arize Phoenix: its server, annotations of traces, data sets of hard cases, experiments with policies."""
