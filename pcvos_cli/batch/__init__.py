"""Many videos: jobs in, a folder each out, on worker processes or on a Ray cluster.

::

    jobs.py       a folder, CSV or JSON Lines file -> the jobs
    engine.py     what the driver asks of workers; no more in flight than they can take
    processes.py  workers on this machine (worker.py runs in each)
    work.py       one job in a worker: what `pcvos segment` runs, published when it is whole
    ledger.py     batch.jsonl: who writes here, and what is finished
    run.py        segment_many: the whole flow

Imports nothing, so that ``pcvos --help`` stays free of torch.
"""
