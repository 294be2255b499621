"""The core: tensors in, tensors out. Imports nothing, so that ``pcvos --help`` stays fast.

In the order in which the data flows::

    config.py       shape of a network, run-time switches; torch-free
    errors.py       what a user can cause and mend, with exit codes
    types.py        what passes between stages
    ops/            resizing, normalisation, padding, masks, timing
    network/        trunks, encoders, window attention, intra-clip refinement, decoder
    memory/         affinity and top-k read, memory bank, progressive matching
    pcvos.py        the method on one page: the one forward path
    build.py        configuration to modules
    checkpoint.py   weights on disk
    published.py    PyTorch files of others: published layouts, ImageNet trunks
    inference/      frames to clips, clip after clip
    metrics/        J, F and their summaries
    data/           synthetic video, still images, DAVIS, YouTube-VOS
    training/       losses, schedule, step, loop, initial weights
"""
