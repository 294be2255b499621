"""Two processes against one with the joint batch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from model.data.sample import TrainingBatch
from model.training.distributed import Processes, processes_of_environment
from model.training.step import ClipTrainer
from tests.support.training import random_batch, tiny_model

COUNTS = (2, 1, 1, 2)


def _gradients(batch: TrainingBatch, parallel: bool) -> dict[str, Tensor]:
    # Some random networks enlarge rounding more than others.
    trainer = ClipTrainer(tiny_model(1).train(), clip_length=2, clip_supervision=True)
    wrapped = DistributedDataParallel(trainer) if parallel else trainer
    losses = wrapped(batch.frames, batch.labels, batch.object_count, 0.5)
    losses.total.backward()
    return {n: p.grad for n, p in trainer.named_parameters() if p.grad is not None}


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    whole = random_batch(COUNTS)
    mine = slice(2 * rank, 2 * rank + 2)
    share = replace(
        whole,
        frames=whole.frames[mine],
        labels=whole.labels[mine],
        object_count=whole.object_count[mine],
    )
    gradients = _gradients(share, parallel=True)
    processes = Processes(rank, 2, rank)
    cpu = torch.device("cpu")
    agreed = processes.any(rank == 1, cpu), processes.any(False, cpu)
    mean = processes.mean(torch.tensor([float(rank), 4.0]))
    torch.save(
        {"gradients": gradients, "agreed": agreed, "mean": mean.tolist()}, f"{folder}/{rank}.pt"
    )
    distributed.destroy_process_group()


def test_two_processes_get_the_gradients_of_one_with_the_joint_batch(tmp_path: Path) -> None:
    multiprocessing.start_processes(_work, (str(tmp_path),), nprocs=2, start_method="spawn")
    expected = _gradients(random_batch(COUNTS), parallel=False)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["gradients"].keys() == expected.keys()
        for name, gradient in expected.items():
            scale = float(gradient.abs().max())
            torch.testing.assert_close(
                found["gradients"][name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-8, msg=name
            )
        assert found["agreed"] == (True, False)
        assert found["mean"] == [0.5, 4.0]


def test_torchruns_environment_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert processes_of_environment() == Processes(0, 1, 0)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes_of_environment() == Processes(3, 4, 1)
    assert not processes_of_environment().leads
