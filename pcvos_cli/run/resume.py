"""The state of an unfinished run, saved so that ``--resume`` can go on to the same bytes.

In the output folder, until the run is complete::

    .pcvos-resume/
      run.json                    the run's identity; another run is refused
      labels.jsonl                the journal: labels of finished frames
      memory/00000.safetensors    keys and values, one file a memory frame, written once
      soft/00000.png              soft masks of finished frames, where mattes are made of them
      scratch/                    made again by a run that is resumed
      progress.json               the next frame, and how much of the others counts

After each clip, once its frames are written, the clip's memory frame is added,
``progress.json`` is replaced, and the files of frames that a bounded memory dropped are
deleted. The memory is soft, as it was in use: made again from PNGs it would be another one.
A run therefore writes each frame of its memory here once.
"""

import base64
import contextlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from model.errors import OutputError
from model.inference.segmenter import ClipSegmenter
from model.memory.bank import FrameRecord, MemoryFrame
from pcvos_cli.files import make_directory, output_errors, remove, write_whole
from pcvos_cli.masks.journal import LabelJournal
from pcvos_cli.run.output_folder import PROGRESS, STATE

_KEY = "key"
_BODY = "body"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run came.

    Attributes:
        next_frame: Index of the first frame that is not finished; a clip begins with it.
        object_ids: The objects that have entered, ascending.
        memory: The frames of the memory; their numbers name the files of ``memory/`` that count.
        bodies: By object id, where its body was on the last frame, packed.
        absent: Ids of the objects that were not found again behind the last cut.
        journal_bytes: Bytes of ``labels.jsonl`` that count.
    """

    next_frame: int
    object_ids: tuple[int, ...]
    memory: tuple[FrameRecord, ...]
    bodies: dict[str, str]
    absent: tuple[int, ...]
    journal_bytes: int


class SavedRun:
    """The saved state of one run; a context manager that closes its journal.

    Args:
        folder: The output folder.
        identity: All that decides the results, as JSON-able values by a name that users
            understand.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self._folder = folder / STATE
        self._progress_path = folder / PROGRESS
        self._identity = json.loads(json.dumps(identity))
        self._journal: LabelJournal | None = None
        self._saved: set[int] = set()  # Numbers of the memory frames whose files are written.
        self._progress: Progress | None = None

    def find(self) -> bool:
        """Look for a saved state, and take its progress.

        Returns:
            Whether there is one.

        Raises:
            OutputError: It is of another run, or damaged.
        """
        with self._reading():
            path = self._folder / "run.json"
            if not path.is_file():
                return False
            self._compare(json.loads(path.read_bytes()))
            if self._progress_path.is_file():
                values = json.loads(self._progress_path.read_bytes())
                for name in ("object_ids", "absent"):
                    values[name] = tuple(values[name])
                values["memory"] = tuple(FrameRecord(**record) for record in values["memory"])
                self._progress = Progress(**values)
            return True

    def begin(self) -> None:
        """Start anew: nothing is finished.

        Raises:
            OutputError: It cannot be written.
        """
        make_directory(self._folder / "memory")
        with output_errors(self._folder):
            self._progress_path.unlink(missing_ok=True)
        content = json.dumps(self._identity, indent=1, ensure_ascii=False)
        write_whole(self._folder / "run.json", content)

    @property
    def next_frame(self) -> int | None:
        """Index of the first frame that an unfinished run left to do, or ``None``."""
        return None if self._progress is None else self._progress.next_frame

    @property
    def soft(self) -> Path:
        """The folder of soft masks; those of frames in the journal count."""
        return self._folder / "soft"

    @property
    def scratch(self) -> Path:
        """A folder for what a run needs only while it lasts; nothing in it is resumed."""
        return self._folder / "scratch"

    def open_journal(self) -> LabelJournal:
        """Open the journal, with the frames that are finished.

        Raises:
            OutputError: It cannot be opened, or is damaged.
        """
        with self._reading():
            keep = 0 if self._progress is None else self._progress.journal_bytes
            self._journal = LabelJournal(self._folder / "labels.jsonl", keep=keep)
        return self._journal

    def restore(self, segmenter: ClipSegmenter) -> None:
        """Give a new segmenter the memory that was saved.

        Raises:
            OutputError: It is damaged.
        """
        if self._progress is not None:
            with self._reading():
                memory = map(self._read_memory, self._progress.memory)
                bodies = {int(i): _unpacked(text) for i, text in self._progress.bodies.items()}
                segmenter.restore(self._progress.object_ids, memory, bodies, self._progress.absent)
            self._saved = {record.number for record in self._progress.memory}

    def saving(self, segmenter: ClipSegmenter, next_frame: int) -> Callable[[], None]:
        """Note what is to be saved, and return what saves it.

        Args:
            segmenter: Has segmented all frames before ``next_frame``.
            next_frame: Index of the frame after the clip.

        Returns:
            To be called where the journal is written, once those frames are. It may raise
            ``OutputError``.
        """
        records = segmenter.memory.records
        # Copies: the memory goes on changing while they wait to be written.
        added = [
            (record.number, _copy(segmenter.memory.frame(index)))
            for index, record in enumerate(records)
            if record.number not in self._saved
        ]
        kept = {record.number for record in records}
        dropped, self._saved = self._saved - kept, kept
        object_ids, bodies = segmenter.object_ids, segmenter.bodies
        absent = tuple(sorted(segmenter.absent))

        def save() -> None:
            assert self._journal is not None
            for number, tensors in added:
                write_whole(self._memory_path(number), to_safetensors(tensors))
            packed = {str(i): _packed(body) for i, body in bodies.items()}
            progress = Progress(
                next_frame, object_ids, records, packed, absent, self._journal.flush()
            )
            write_whole(self._progress_path, json.dumps(asdict(progress)))
            for number in dropped:  # Only now: a kill before this goes on from the old progress.
                remove(self._memory_path(number))

        return save

    def remove(self) -> None:
        """The run is complete: nothing is to be resumed. Never raises."""
        if self._journal is not None:
            self._journal.close()
        # Renamed first: a kill in between leaves no half of a state.
        gone = self._folder.with_name(f"{STATE}.tmp")
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()

    def _compare(self, saved: dict[str, Any]) -> None:
        """Refuse the state of another run, saying what differs."""
        different = differences(saved, self._identity)
        if different:
            raise OutputError(
                f"{self._folder.parent}: the unfinished run there is another one: "
                + "; ".join(different[:3]),
                hint="resume with the same input, masks and options, or begin anew with "
                "--overwrite",
            )

    def _memory_path(self, number: int) -> Path:
        return self._folder / "memory" / f"{number:05}.safetensors"

    def _read_memory(self, record: FrameRecord) -> MemoryFrame:
        tensors = load_file(self._memory_path(record.number))
        key = tensors.pop(_KEY)
        values = {int(object_id): value for object_id, value in tensors.items()}
        return MemoryFrame(key, values, record)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            SafetensorError,
            zlib.error,
        ) as error:
            raise OutputError(
                f"{self._folder}: the saved state is damaged ({error})",
                hint="begin anew with --overwrite",
            ) from error


def _copy(frame: MemoryFrame) -> dict[str, Tensor]:
    """Return keys and values by the names that they have in a file, on the CPU."""
    tensors = {_KEY: frame.key, **{str(i): value for i, value in frame.values.items()}}
    return {
        name: torch.clone(tensor.cpu(), memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _packed(tensor: Tensor) -> str:
    """Return a small tensor as text: a few hundred bytes for the outline of a body."""
    return base64.b64encode(zlib.compress(to_safetensors({_BODY: tensor}), 1)).decode()


def _unpacked(text: str) -> Tensor:
    return from_safetensors(zlib.decompress(base64.b64decode(text, validate=True)))[_BODY]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between the settings of a run and those of another."""
    return [
        f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    ]
