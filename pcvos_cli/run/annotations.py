"""Reference masks out of what labelling tools write: ``--mask instances.json`` and its like."""

from pathlib import Path

from model.errors import MaskError
from pcvos_cli.labels.sources import open_labels
from pcvos_cli.masks.label_files import label_values
from pcvos_cli.masks.reference import LoadedMask
from pcvos_cli.masks.unusual import fitted
from pcvos_cli.run.references import match_names
from pcvos_cli.video.source import FrameSource


def load_annotations(
    path: Path, source: FrameSource, *, first: int, resize: bool
) -> list[LoadedMask]:
    """Read the frames that have objects.

    Args:
        path: As ``open_labels``.
        source: Whose frames they are, by name, by number, or by index where the format
            counts frames.
        first: The frame of a file that is about one frame without a name.
        resize: As ``read_reference``.

    Raises:
        InputError: It cannot be read.
        MaskError: It has no object, does not fit the video, or names no frame of it.
    """
    labels = open_labels(path)
    found = [
        (name, ids.copy(), label_values(ids))
        for name, ids in zip(labels.names, labels.read(), strict=True)
        if ids.any()
    ]
    if not found:
        raise MaskError(f"{path}: has no object on any frame")
    if labels.kind == "mots":
        labels.notes.insert(0, "16-bit values are read as MOTS: class * 1000 + object")
    names = [name for name, _, _ in found]
    alone = len(labels.names) == 1
    if labels.numbered:
        indices = [int(name) for name in names]
    elif alone and labels.kind == "numpy":
        indices = [first]
    else:
        try:
            indices = match_names(names, source, [str(path)] * len(names))
        except MaskError:
            if not alone:
                raise
            indices = [first]  # A file about one image, whatever that is called.
    count = source.info.frame_count
    for index in indices:
        if count is not None and index >= count:
            raise MaskError(
                f"{path}: has objects on frame {index}, but {source.info.path} has {count} frames "
                f"(0 to {count - 1})",
                hint="frames count from 0; check that it is of this video",
            )
    size = (source.info.height, source.info.width)
    masks = []
    for position, (index, (_, ids, object_ids)) in enumerate(zip(indices, found, strict=True)):
        notes = list(labels.notes) if position == 0 else []
        if ids.shape != size:
            ids = fitted(
                path, index, ids, size, notes, resize=resize, coded_size=source.info.coded_size
            )
        masks.append(LoadedMask(path, index, ids, object_ids, notes, labels.categories))
    return masks
