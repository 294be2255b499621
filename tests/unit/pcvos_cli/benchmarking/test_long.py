"""A long video: watching its run, and the report of it."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from model.config import InferenceConfig
from model.errors import InputError
from pcvos_cli.benchmarking.long_report import LongReport, Stretch, long_table
from pcvos_cli.benchmarking.long_run import (
    LongRunError,
    Watched,
    segment_command,
    stretches,
    to_and_fro,
    watch,
)
from pcvos_cli.benchmarking.plot import draw_long
from pcvos_cli.benchmarking.report import Machine, Spread
from pcvos_cli.run.settings import SegmentSettings

WRITES_MASKS = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
for index in range(3):
    (folder / f"{index:05d}.png").touch()
    time.sleep(0.3)
block = bytearray(150 << 20)
time.sleep(0.5)
(folder / "report").touch()
block += bytes(50 << 20)
time.sleep(0.5)
"""


def long_report(seconds: list[float]) -> LongReport:
    machine = Machine("cpu", "a CPU", 2, 1, "Linux", {"torch": "2.9"}, Spread(134.0, 130.0, 140.0))
    pieces = tuple(Stretch(100 * i, 100 * i + 99, s, 900.0 + 10 * i) for i, s in enumerate(seconds))
    protocol = {"model": "pcvos-lite", "working_size": "854 x 480", "command": "pcvos benchmark"}
    return LongReport(protocol, machine, 10, 100 * len(pieces), 1, 40, 950.0, 999.0, 5.0, pieces)


def test_frames_go_to_and_fro():
    assert list(to_and_fro(4, 9)) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert list(to_and_fro(2, 5)) == [0, 1, 0, 1, 0]


def test_a_process_is_watched_until_it_ends(tmp_path: Path):
    masks = tmp_path / "masks"
    counts: list[int] = []
    seen = watch(
        [sys.executable, "-c", WRITES_MASKS, str(masks)], masks, masks / "report", 3, counts.append
    )
    assert len(seen.done) == 3 == sum(counts)
    assert 0.2 < seen.done[1] - seen.done[0] < 5
    assert 0.2 < seen.done[2] - seen.done[1] < 5
    sizes = [mb for _, mb in seen.resident]
    assert sizes[0] < 60  # Its own, not this process's.
    assert seen.run_peak_mb == pytest.approx(max(sizes), abs=5)
    assert seen.peak_mb > seen.run_peak_mb + 45
    assert max(sizes) > sizes[0] + 140
    assert seen.resident[-1][0] == 3


def test_a_failure_is_told_in_its_own_words(tmp_path: Path):
    script = "import sys; print('no such mask', file=sys.stderr); sys.exit(4)"
    with pytest.raises(LongRunError, match="no such mask") as caught:
        watch([sys.executable, "-c", script], tmp_path, tmp_path / "report", 3)
    assert caught.value.exit_code == 4


def test_stretches_are_divided_where_frames_are():
    done = [10.0 + 0.1 * index for index in range(100)] + [
        20.0 + 0.2 * index for index in range(50)
    ]
    resident = [(0, 999.0), (1, 500.0), (100, 510.0), (101, 620.0), (150, 600.0)]
    first, second = stretches(Watched(done, resident, 999.0))
    assert (first.first, first.last, second.first, second.last) == (0, 99, 100, 149)
    # What precedes the first mask, such as loading the weights, is not in it.
    assert first.seconds == pytest.approx(0.1)
    assert first.resident_mb == 510
    # From the last frame before it, so that no time is lost between stretches.
    assert second.seconds == pytest.approx((29.8 - 19.9) / 50)
    assert second.resident_mb == 620
    assert list(stretches(Watched())) == []


def test_the_command_has_all_that_the_settings_say():
    settings = SegmentSettings(
        inference=InferenceConfig(top_k=None, progressive_interval=3, max_memory_frames=7),
        size=None,
        weights=Path("w.safetensors"),
        device="cpu",
        engine="torch",
        threads=2,
    )
    command = segment_command(Path("v.mp4"), Path("m.png"), Path("out"), settings, 10)
    assert command[1:5] == ["-m", "pcvos_cli", "segment", "v.mp4"]
    assert set(command[5:]) == {
        "--mask=m.png", "--out=out", "--format=png,rle,overlay", "--interval=10",
        "--top-k=all", "--progressive-interval=3", "--max-memory-frames=7", "--size=native",
        "--weights=w.safetensors", "--device=cpu", "--engine=torch", "--threads=2", "--quiet",
    }  # fmt: skip
    plain = segment_command(Path("v.mp4"), Path("m.png"), Path("out"), SegmentSettings(amp=True), 5)
    assert "--amp" in plain
    inference = InferenceConfig(progressive=False, refinement=False, drop_strays=False)
    switched = SegmentSettings(inference=inference)
    command = segment_command(Path("v.mp4"), Path("m.png"), Path("out"), switched, 5)
    assert {"--no-progressive", "--no-refinement", "--keep-strays"} < set(command)
    assert not [option for option in plain if "None" in option]


def test_json_comes_back_as_it_was():
    report = long_report([0.2, 0.2])
    assert LongReport.from_document(json.loads(json.dumps(report.to_document()))) == report
    for document in ({}, [], {**report.to_document(), "stretches": []}):
        with pytest.raises(InputError, match="--long"):
            LongReport.from_document(document)


def test_growth_is_the_last_quarter_over_the_second():
    assert long_report([9.0, 0.2, 5.0, 0.3]).growth == pytest.approx(1.5)
    assert long_report([0.9, 0.9, 0.2, 0.2, 1.0, 1.0, 0.1, 0.1]).growth == pytest.approx(0.5)
    assert long_report([0.4]).growth == 1


def test_words_and_table_say_what_was_measured():
    report = long_report([0.2, 0.2, 0.2, 0.3])
    words = " ".join(report.describe())
    for text in (
        "400 frames",
        "0.400 at 67 GFLOP/s",
        "1.50 times",
        "peak 950 MB, 999 MB with",
        "930 MB",
    ):
        assert text in words
    assert long_table(report).rows[-1] == ["300 to 399", "0.300", "0.600", "930"]


def test_the_figure_shows_both_curves(tmp_path: Path):
    draw_long(long_report([0.2, 0.2]), tmp_path / "new" / "a.png")
    draw_long(long_report([0.2, 0.4]), tmp_path / "b.png")
    with Image.open(tmp_path / "new" / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        assert a.format == "PNG"
        assert a.tobytes() != b.tobytes()
