"""Masks of anybody's making behind one front door: ``sources.open_labels``."""
