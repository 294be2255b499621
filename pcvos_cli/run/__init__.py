"""One run of ``segment``: from settings to a folder with its results.

``pipeline.segment_video`` is the front door. Imports nothing, so ``settings`` stays free of torch.
"""
