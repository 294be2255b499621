"""Masks of a whole video from one format to another: ``conversion.convert_masks``."""
