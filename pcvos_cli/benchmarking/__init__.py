"""Measuring speed, memory and where time goes, so that figures can be compared."""
