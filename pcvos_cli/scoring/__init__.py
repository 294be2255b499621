"""Scoring folders of masks against the true masks of a data set.

layouts -> score (J and F of every frame, on all cores) -> reports -> table, CSV, page.
"""
