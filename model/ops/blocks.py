"""Sizes of blocks in which something large is worked through."""


def even_blocks(total: int, most: int) -> int:
    """Return the size of the fewest equal blocks of at most ``most``, which is 1 or more."""
    return -(-total // -(-total // most)) if total else 0
