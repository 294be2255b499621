"""Synthetic video with exact masks. The front door is ``video.SyntheticVideo``.

``config`` says how often things happen. A sample is made in this order: ``casting`` chooses the
things (``cutouts`` by ``cutting`` them out of stills, or drawn ones; ``pictures`` and ``textures``)
and their paths (``motion``), ``scenes`` puts them before a background and a camera, and
``rendering`` draws the frames and the labels.
"""
