"""What a page works on, on disk as plain files at every moment.

::

    OUT/annotation.json        the video's fingerprint, objects, settings
    OUT/references/00012.png   masks that a person made or corrected: they state what is right
    OUT/masks/00012.png        the newest mask of each frame, made or propagated
    OUT/export/                what `pcvos segment` writes from the references

Every file is written under a temporary name and renamed, so a kill loses at most the stroke
that is being drawn.
"""

import hashlib
import json
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image

from model.config import PRESETS
from model.errors import ConfigError, MaskError, OutputError
from pcvos_cli import SegmentSettings
from pcvos_cli.annotate.runs import MAX_ID, Labels
from pcvos_cli.files import locked, make_directory, output_errors, write_text, write_whole
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.video.seeking import FrameFinder

FILE = "annotation.json"
REFERENCES, MASKS, EXPORT = "references", "masks", "export"
_LOCK = ".annotate.lock"

COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff",
)  # fmt: skip
"""Colours that colour-blind people can tell apart (Okabe and Ito, 2008), white for black."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object of the list.

    Attributes:
        id: Its value in all masks, never used again.
        name: For people.
        colour: ``#rrggbb``, on the page.
        shown: Whether the page draws it.
        ends: Its last frames: after each it is absent until a later reference shows it.
    """

    id: int
    name: str
    colour: str
    shown: bool = True
    ends: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what a page cannot mean.

        Raises:
            ConfigError: Naming the value.
        """
        digits = self.colour[1:]
        if len(self.colour) != 7 or self.colour[0] != "#" or set(digits) - set("0123456789abcdef"):
            raise ConfigError(f"colour {self.colour!r}: give #rrggbb")
        if not self.name.strip() or len(self.name) > 80:
            raise ConfigError("a name has 1 to 80 characters")
        if any(not isinstance(end, int) or end < 0 for end in self.ends):
            raise ConfigError(f"object {self.id}: ends {self.ends} are no frames")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the page lets people choose, as options of ``pcvos segment``.

    Attributes:
        interval: ``--interval``.
        size: ``--size``; ``None`` is ``native``.
        model: ``--model``.
        formats: ``--format``.
        backward: ``--backward``.
    """

    interval: int = 10
    size: int | Literal["auto"] | None = "auto"
    model: str = "pcvos-lite"
    formats: tuple[str, ...] = SegmentSettings().formats
    backward: bool = False

    def __post_init__(self) -> None:
        """Refuse what ``pcvos segment`` would.

        Raises:
            ConfigError: Naming the value.
        """
        if self.model not in PRESETS:
            raise ConfigError(f"model {self.model!r}: choose one of {', '.join(PRESETS)}")
        self.for_segment()

    def for_segment(self, ends: tuple[tuple[int, int], ...] = ()) -> SegmentSettings:
        """Return the settings of ``segment_video``; ``ends`` are its ``end_objects``.

        Cuts are ignored: a person watches, and a propagation may begin right behind one.
        """
        plain = SegmentSettings()
        return replace(
            plain,
            inference=replace(plain.inference, interval=self.interval, cuts="ignore"),
            size=self.size,
            model=self.model,
            formats=self.formats,
            backward=self.backward,
            end_objects=ends,
        )


@dataclass(slots=True)
class _Saved:
    video: dict[str, Any]
    objects: list[Object] = field(default_factory=list)
    settings: Choices = field(default_factory=Choices)
    next_id: int = 1


class Project:
    """An annotation folder, locked against a second server. Thread-safe.

    Args:
        folder: OUT; made if missing.
        frames: The video.

    Raises:
        OutputError: The folder holds another video's annotation or other results, is in use,
            or cannot be written.
    """

    def __init__(self, folder: Path, frames: FrameFinder) -> None:
        self.folder = folder
        self.frames = frames
        self.size = (frames.info.height, frames.info.width)
        self.lock = threading.RLock()
        self._file = folder / FILE
        self._guard = ExitStack()
        self._guard.enter_context(
            locked(
                folder,
                name=_LOCK,
                in_use="is open in another pcvos annotate",
                hint="use that one, or choose another --out",
            )
        )
        try:
            self._saved = self._open()
            for name in (REFERENCES, MASKS):
                make_directory(folder / name)
            self.references = {i: self._ids(REFERENCES, i) for i in self._listed(REFERENCES)}
            self.masked = set(self._listed(MASKS))
            self._save()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder. Safe to call twice."""
        self._guard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def objects(self) -> list[Object]:
        """The objects, in the order in which they were made."""
        return list(self._saved.objects)

    @property
    def choices(self) -> Choices:
        """The settings of propagation and export."""
        return self._saved.settings

    @property
    def settings(self) -> SegmentSettings:
        """All that ``segment_video`` needs to know beside the references.

        An end is left out where it says nothing: on the last frame, and before the object enters.
        """
        enters: dict[int, int] = {}
        for frame, ids in sorted(self.references.items()):
            enters = dict.fromkeys(ids, frame) | enters
        ends = (
            (item.id, end + 1)
            for item in self._saved.objects
            for end in item.ends
            if enters.get(item.id, end + 1) <= end < self.frames.count - 1
        )
        return self.choices.for_segment(tuple(sorted(ends)))

    def choose(self, **values: Any) -> None:
        """Change settings.

        Raises:
            ConfigError: A value means nothing.
        """
        with self.lock:
            self._saved.settings = _replaced(self._saved.settings, values)
            self._save()

    def add_object(self) -> Object:
        """Add an object with the next id.

        Raises:
            ConfigError: There are no ids left.
        """
        with self.lock:
            number = self._saved.next_id
            if number > MAX_ID:
                raise ConfigError(f"ids go up to {MAX_ID}, and all of them are used")
            colour = COLOURS[(number - 1) % len(COLOURS)]
            made = Object(number, f"Object {number}", colour)
            self._saved.objects.append(made)
            self._saved.next_id += 1
            self._save()
            return made

    def change_object(self, number: int, **values: Any) -> None:
        """Change an object's name, colour, ``shown`` or ``ends``.

        Raises:
            ConfigError: There is no such object, or a value means nothing.
        """
        with self.lock:
            index = self._index(number)
            self._saved.objects[index] = _replaced(self._saved.objects[index], values)
            self._save()

    def delete_object(self, number: int) -> None:
        """Delete an object, and its pixels in all references; masks hide it.

        Raises:
            ConfigError: There is no such object.
        """
        with self.lock:
            index = self._index(number)
            for frame in [f for f, ids in self.references.items() if number in ids]:
                labels = self._read(REFERENCES, frame)
                labels[labels == number] = 0
                self._put_reference(frame, labels)
            del self._saved.objects[index]
            self._save()

    def ended(self, frame: int) -> set[int]:
        """Return the objects that have ended before a frame and not been shown since."""
        out = set()
        for item in self._saved.objects:
            last = max((end for end in item.ends if end < frame), default=None)
            if last is not None and not any(
                last < f <= frame and item.id in ids for f, ids in self.references.items()
            ):
                out.add(item.id)
        return out

    def labels(self, frame: int) -> Labels:
        """Return a frame's newest mask, ``(H, W)``; a reference stands as it was drawn."""
        with self.lock:
            labels = self._read(MASKS, frame)
            if ids := self.references.get(frame):
                drawn = self._read(REFERENCES, frame)
                labels[np.isin(labels, ids)] = 0
                labels = np.where(drawn > 0, drawn, labels)
            known = {item.id for item in self._saved.objects} - self.ended(frame)
            labels[~np.isin(labels, [0, *known])] = 0
            return labels

    def correct(self, frame: int, labels: Labels, *, reference: bool = True) -> None:
        """Keep a mask that a person made.

        An object that was on the frame and is no longer ends before it: a reference cannot say
        that an object is absent.

        Args:
            frame: Its index.
            labels: ``(H, W)`` ids of the list.
            reference: It states what is right; without, the frame is no reference any more.

        Raises:
            MaskError: An id is of no object.
            OutputError: It cannot be written; what was there stays.
        """
        with self.lock:
            present = {int(i) for i in np.unique(labels)} - {0}
            if unknown := present - {item.id for item in self._saved.objects}:
                raise MaskError(f"frame {frame}: there is no object {min(unknown)}")
            gone = {int(i) for i in np.unique(self.labels(frame))} - {0} - present
            self._put_reference(frame, labels if reference else np.zeros_like(labels))
            self.put_mask(frame, labels)
            for index, item in enumerate(self._saved.objects):
                ends = set(item.ends)
                if item.id in present:
                    ends.discard(frame - 1)
                elif item.id in gone and reference and frame > 0:
                    ends.add(frame - 1)
                self._saved.objects[index] = replace(item, ends=tuple(sorted(ends)))
            self._save()

    def put_mask(self, frame: int, labels: Labels) -> None:
        """Write a frame's mask.

        Raises:
            OutputError: It cannot be written; what was there stays.
        """
        write_whole(self._path(MASKS, frame), encode_palette_png(labels))
        with self.lock:
            self.masked.add(frame)

    def take_over(self, folder: Path) -> None:
        """Let the masks of a run, named by frame, be the newest; a folder may be missing.

        Raises:
            OutputError: One cannot be written.
        """
        for frame in range(self.frames.count):
            made = folder / f"{self.frames.name(frame)}.png"
            if made.is_file():
                write_whole(self._path(MASKS, frame), made.read_bytes())
                with self.lock:
                    self.masked.add(frame)

    def _put_reference(self, frame: int, labels: Labels) -> None:
        path = self._path(REFERENCES, frame)
        ids = tuple(int(i) for i in np.unique(labels) if i)
        if ids:
            write_whole(path, encode_palette_png(labels))
            self.references[frame] = ids
        else:
            with output_errors(path):
                path.unlink(missing_ok=True)
            self.references.pop(frame, None)

    def _path(self, folder: str, frame: int) -> Path:
        return self.folder / folder / f"{self.frames.name(frame)}.png"

    def _listed(self, folder: str) -> Iterable[int]:
        return [i for i in range(self.frames.count) if self._path(folder, i).is_file()]

    def _ids(self, folder: str, frame: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unique(self._read(folder, frame)) if i)

    def _read(self, folder: str, frame: int) -> Labels:
        path = self._path(folder, frame)
        if not path.is_file():
            return np.zeros(self.size, np.uint8)
        try:
            with Image.open(path) as image:
                labels = np.array(image, np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise MaskError(f"{path}: not a readable mask ({error})", hint="delete it") from error
        if labels.shape != self.size:
            raise MaskError(f"{path}: is of another size than the video", hint="delete it")
        return labels

    def _index(self, number: int) -> int:
        for index, item in enumerate(self._saved.objects):
            if item.id == number:
                return index
        raise ConfigError(f"there is no object {number}")

    def _save(self) -> None:
        write_text(self._file, json.dumps({"version": 1, **asdict(self._saved)}, indent=1))

    def _open(self) -> _Saved:
        video = _fingerprint(self.frames)
        if not self._file.exists():
            if any((self.folder / name).exists() for name in (REFERENCES, MASKS, "run.json")):
                raise OutputError(
                    f"{self.folder}: holds other results, and no {FILE}",
                    hint="choose another --out",
                )
            return _Saved(video)
        try:
            saved = json.loads(self._file.read_bytes())
            objects = [Object(**{**item, "ends": tuple(item["ends"])}) for item in saved["objects"]]
            settings = dict(saved["settings"])
            settings["formats"] = tuple(settings["formats"])
            before, found = saved["video"], Choices(**settings)
            next_id = int(saved["next_id"])
            name = before["name"]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise OutputError(
                f"{self._file}: is damaged ({error})",
                hint="mend it, or move it away and begin anew with another --out",
            ) from error
        if before != video:
            raise OutputError(
                f"{self.folder}: holds the annotation of another video ({name})",
                hint="open that one, or choose another --out",
            )
        return _Saved(video, objects, found, next_id)


def _replaced(record: Any, values: dict[str, Any]) -> Any:
    known = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    if "id" in known:
        raise ConfigError("an object keeps its id")
    declared = get_type_hints(type(record))
    for name, value in known.items():
        if name in declared and not _is_of(value, declared[name]):
            wanted = getattr(declared[name], "__name__", declared[name])
            raise ConfigError(f"settings: {name} {value!r} is no {wanted}")
    try:
        return replace(record, **known)
    except TypeError as error:
        raise ConfigError(f"settings: {error}") from error


def _is_of(value: Any, declared: Any) -> bool:
    """Tell whether a value is of a declared type: a plain one, a union, literals, a tuple."""
    parts = get_args(declared)
    if get_origin(declared) is Literal:
        return value in parts
    if get_origin(declared) is tuple:
        return type(value) is tuple and all(_is_of(item, parts[0]) for item in value)
    return any(_is_of(value, part) for part in parts) if parts else type(value) is declared


def _fingerprint(frames: FrameFinder) -> dict[str, Any]:
    """Return what tells a video from another one, wherever it lies."""
    info = frames.info
    digest = hashlib.sha256()
    if info.is_folder:
        for index in range(frames.count):
            digest.update(f"{frames.name(index)}\n".encode(errors="backslashreplace"))
    else:
        with info.path.open("rb") as file:
            digest.update(file.read(1 << 20))
            digest.update(str(info.path.stat().st_size).encode())
    return {
        "name": info.path.resolve().name,
        "frames": frames.count,
        "size": [info.width, info.height],
        "digest": digest.hexdigest(),
    }
