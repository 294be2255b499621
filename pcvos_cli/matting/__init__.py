"""Mattes, cut-outs and compositions: ``writers.open_writers``; alpha is straight throughout."""
