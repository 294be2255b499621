"""A first mask from boxes and points: ``make.make_first_mask``."""
