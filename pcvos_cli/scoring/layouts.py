"""Where a data set keeps its true masks, and which frames and objects count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.errors import ConfigError, InputError, MaskError
from pcvos_cli.masks.label_files import VOID, label_values, read_labels
from pcvos_cli.run.output_folder import MASKS
from pcvos_cli.video.folder import natural_key

DatasetName = Literal["davis2017", "davis2016", "youtubevos", "folder"]
FrameChoice = Literal["inner", "all"]


@dataclass(frozen=True, slots=True)
class TruthSequence:
    """The true masks of one video.

    Attributes:
        name: Also the folder of its predictions.
        frames: Stems of the labelled frames, in order; one prediction is due for each.
        masks: Folder of the true masks, ``<stem>.png``.
        images: Folder of the video's frames, or ``None``.
        merged: Whatever is labelled is one object with id 1.
        listed: For each object id the positions in ``frames`` where the data set labels
            it; ``None`` where only the masks themselves say so.
    """

    name: str
    frames: tuple[str, ...]
    masks: Path
    images: Path | None = None
    merged: bool = False
    listed: Mapping[int, tuple[int, ...]] | None = None

    def mask(self, position: int) -> Path:
        """Return the file of the true mask at a position in ``frames``."""
        return self.masks / f"{self.frames[position]}.png"

    def image(self, position: int) -> Path | None:
        """Return the file of the frame at a position in ``frames``, if there is one."""
        if self.images is None:
            return None
        for suffix in (".jpg", ".jpeg", ".png"):
            path = self.images / f"{self.frames[position]}{suffix}"
            if path.exists():
                return path
        return None


@dataclass(frozen=True, slots=True)
class TruthDataset:
    """A data set's true masks, which predictions are scored against.

    Attributes:
        name: As ``--dataset`` takes it.
        split: Name of the list of sequences; empty for plain folders.
        sequences: In the order of the list.
        frames: ``inner`` leaves the first and the last frame out.
        ids_of_first_frame: Objects are the ids up to the largest in the first true frame
            (DAVIS); otherwise all ids, each from its first labelled frame on.
        unlabelled: Frames whose labels the data set keeps to itself; if there are any, no
            score can be given.
        categories: Category of ``<sequence>_<object id>``; empty where there are none.
        seen_categories: Those of the training set.
        seen_origin: Where that list comes from.
    """

    name: DatasetName
    split: str
    sequences: tuple[TruthSequence, ...]
    frames: FrameChoice
    ids_of_first_frame: bool = False
    unlabelled: int = 0
    categories: Mapping[str, str] = field(default_factory=dict)
    seen_categories: frozenset[str] = frozenset()
    seen_origin: str = ""

    def check_images(self) -> None:
        """Refuse a data set that cannot be segmented.

        Raises:
            ConfigError: A sequence has no images.
        """
        without = [sequence.name for sequence in self.sequences if sequence.images is None]
        if without:
            raise ConfigError(
                f"no images of {without[0]}, so there is nothing to segment",
                hint="add the data set's JPEGImages, or have masks of your own evaluated",
            )


def load_dataset(
    name: DatasetName,
    root: Path,
    *,
    split: str | None = None,
    frames: FrameChoice | None = None,
    seen: Path | None = None,
) -> TruthDataset:
    """Find the true masks of a data set.

    Args:
        name: The layout.
        root: The data set's folder.
        split: List of sequences; ``None`` is ``val`` (``valid`` for YouTube-VOS).
        frames: ``None`` is the data set's habit: ``inner`` for DAVIS, ``all`` for a folder.
        seen: YouTube-VOS: file that lists the seen categories.

    Raises:
        ConfigError: If an option means nothing for this data set.
        InputError: If the layout, a list or a mask is missing.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder", hint="--root takes the data set's folder")
    if seen is not None and name != "youtubevos":
        raise ConfigError(f"--seen does not apply to {name}: only YouTube-VOS has categories")
    if name == "youtubevos":
        if frames is not None:
            raise ConfigError(
                "--frames does not apply to youtubevos: an object counts from the frame after"
                " its first label, on the frames that meta.json lists"
            )
        from pcvos_cli.scoring.youtube_vos import load_youtube_vos

        return load_youtube_vos(root, split or "valid", seen)
    if name == "folder":
        if split is not None:
            raise ConfigError("--split does not apply to folder: every mask below ROOT counts")
        return TruthDataset("folder", "", _folders(root), frames or "all")
    return _davis(name, root, split or "val", frames or "inner")


def prediction_folder(dataset: TruthDataset, sequence: TruthSequence, predictions: Path) -> Path:
    """Return the folder that holds the predictions of a sequence.

    Usually ``<predictions>/<sequence>``; also ``predictions`` itself for a data set of one
    folder, and an unpacked YouTube-VOS submission with its top folder ``Annotations``. Each
    may be a result folder of ``pcvos segment``, with the masks in ``masks``.
    """
    folder = predictions / sequence.name
    if dataset.name == "folder" and len(dataset.sequences) == 1 and not folder.is_dir():
        folder = predictions
    if dataset.name == "youtubevos" and not folder.is_dir():
        unpacked = predictions / "Annotations" / sequence.name
        if unpacked.is_dir():
            folder = unpacked
    return _masks_in(folder)


def _masks_in(folder: Path) -> Path:
    """Return a folder, or of a result folder of ``pcvos segment`` the one with the masks."""
    inner = folder / MASKS
    return inner if inner.is_dir() and not mask_stems(folder) else folder


def mask_stems(folder: Path) -> tuple[str, ...]:
    """Return the stems of the visible PNG files of a folder in natural order (9 before 10).

    Empty if there is no such folder.
    """
    if not folder.is_dir():
        return ()
    files = (path for path in _visible(folder) if path.suffix == ".png")
    return tuple(path.stem for path in sorted(files, key=natural_key))


def _visible(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder but for hidden files, such as macOS puts beside every file."""
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _davis(name: DatasetName, root: Path, split: str, frames: FrameChoice) -> TruthDataset:
    annotations = _resolution(root / "Annotations")
    images = root / "JPEGImages" / annotations.name
    sequences = []
    for sequence in _davis_list(name, root, split):
        masks = annotations / sequence
        stems = mask_stems(masks)
        if not stems:
            raise InputError(f"{masks}: no PNG masks, but {sequence} is listed in {split}.txt")
        folder = images / sequence if (images / sequence).is_dir() else None
        if folder is not None:
            count = sum(path.suffix == ".jpg" for path in _visible(folder))
            if count > len(stems):
                raise InputError(
                    f"{masks}: {len(stems)} true masks for {count} frames; the labels of"
                    f" {split} are incomplete or not public",
                    hint="score a split with a mask for every frame, such as --split val",
                )
        merged = name == "davis2016"
        if not merged and label_values(read_labels(masks / f"{stems[0]}.png")) == (VOID,):
            raise MaskError(
                f"{masks / stems[0]}.png: holds only 0 and 255, and 255 is void in DAVIS 2017",
                hint="for masks of one object use --dataset davis2016",
            )
        sequences.append(TruthSequence(sequence, stems, masks, folder, merged))
    return TruthDataset(name, split, tuple(sequences), frames, ids_of_first_frame=True)


def _resolution(annotations: Path) -> Path:
    for name in ("480p", "Full-Resolution"):
        if (annotations / name).is_dir():
            return annotations / name
    raise InputError(
        f"{annotations}: has neither 480p nor Full-Resolution",
        hint="--root takes the folder that holds Annotations, JPEGImages and ImageSets",
    )


def _davis_list(name: DatasetName, root: Path, split: str) -> list[str]:
    """Return the sequences of a split; DAVIS 2016 lists pairs of files, one a frame."""
    years = {"davis2017": ("2017",), "davis2016": ("480p", "2016")}[name]
    files = [root / "ImageSets" / year / f"{split}.txt" for year in years]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        parents = [file.parent for file in files if file.parent.is_dir()]
        lists = sorted(
            {p.stem for parent in parents for p in _visible(parent) if p.suffix == ".txt"}
        )
        raise InputError(
            f"{files[0]}: no such list of sequences",
            hint=f"--split can be {', '.join(lists)}" if lists else None,
        )
    text = found.read_text(encoding="utf-8-sig").replace("\\", "/")  # As Windows writes it.
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    sequences = dict.fromkeys(Path(word).parent.name if "/" in word else word for word in words)
    if not sequences:
        raise InputError(f"{found}: lists no sequences")
    return list(sequences)


def _folders(root: Path) -> tuple[TruthSequence, ...]:
    """Return one sequence for each folder of masks at or below ``root``."""
    folders = [root, *sorted(path for path in _visible(root) if path.is_dir())]
    sequences = []
    for folder in folders:
        masks = _masks_in(folder)
        stems = mask_stems(masks)
        if stems:
            sequences.append(
                TruthSequence(folder.name, stems, masks, merged=_is_binary(masks, stems))
            )
            if folder == root:
                break
    if not sequences:
        raise InputError(f"{root}: no PNG masks in it or in the folders in it")
    return tuple(sequences)


def _is_binary(folder: Path, stems: tuple[str, ...]) -> bool:
    """Tell whether the first mask that is not empty holds only 0 and 255, or 1 bit."""
    for stem in stems:
        values = label_values(read_labels(folder / f"{stem}.png"))
        if values:
            return values == (VOID,)
    return False
