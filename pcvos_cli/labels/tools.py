"""Masks from labelling tools: COCO, labelme, CVAT for video, and NumPy arrays of ids."""

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model.errors import InputError, MaskError
from pcvos_cli.labels.youtube_vis import MAX_ID, decode_mask, frame_stem
from pcvos_cli.masks.reference import anti_aliased, has_edge_values
from pcvos_cli.masks.youtube_vis import GENERAL
from pcvos_cli.video.folder import natural_key

Shape = Callable[[], NDArray[np.bool_]]
"""Returns the ``(H, W)`` mask."""


@dataclass(slots=True)
class Annotations:
    """The objects of some frames.

    Attributes:
        kind: The format.
        size: ``(height, width)``.
        frames: Shapes by object id, in the order of the file, by frame name.
        numbered: The names are indices of frames.
        categories: Names of the objects' classes, by object id, where the format has them.
        notes: Decisions made on the way.
    """

    kind: str
    size: tuple[int, int]
    frames: dict[str, list[tuple[int, Shape]]]
    numbered: bool = False
    categories: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def masks(self, path: Path, name: str) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield ``(object_id, mask)`` of one frame.

        Raises:
            MaskError: A shape is not well formed.
        """
        for object_id, shape in self.frames[name]:
            try:
                yield object_id, shape()
            except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
                raise MaskError(
                    f"{path}: object {object_id}, frame {name}: {error}",
                    hint="the file is damaged; write it again",
                ) from error


class _Ids:
    """Numbers objects: those whose key is a usable number keep it, others get the next ones."""

    def __init__(self, keys: Sequence[Any], *, zero_based: bool = False) -> None:
        order = list(dict.fromkeys(keys))
        numbers = {key: _whole(key) for key in order}
        usable = all(n is not None and 0 <= n < MAX_ID for n in numbers.values())
        self.shifted = usable and (zero_based or 0 in numbers.values())
        self._ids = {
            key: (numbers[key] or 0) + self.shifted if usable else place
            for place, key in enumerate(order, 1)
        }
        if len(set(self._ids.values())) < len(order):
            self._ids = {key: place for place, key in enumerate(order, 1)}
        self.numbered = not usable

    def __getitem__(self, key: Any) -> int:
        return self._ids[key]

    def notes(self, word: str) -> list[str]:
        """Return how the objects were numbered, if not by their own numbers."""
        if self.shifted:
            return [f"{word} count from 0: object ids are one more"]
        if self.numbered and self._ids:
            return ["objects numbered: " + ", ".join(f"{k} = {v}" for k, v in self._ids.items())]
        return []


def _whole(key: Any) -> int | None:
    if isinstance(key, bool):
        return None
    if isinstance(key, int):
        return key
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else None


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: It is missing or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON ({error})") from error


def is_coco(document: Any) -> bool:
    """Whether a JSON document is COCO's, of many images or of one."""
    return (
        isinstance(document, dict)
        and "annotations" in document
        and bool({"images", "image"} & set(document))
    )


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is labelme's."""
    return isinstance(document, dict) and "shapes" in document and "imageHeight" in document


def read_coco(documents: Mapping[Path, dict[str, Any]]) -> Annotations:
    """Read COCO instances: polygons, RLE, or both; one file for all images or one each.

    An object keeps its ``track_id`` (or ``attributes.track_id``, ``instance_id``). Without
    one, a category is an object where no image has two of it; the annotations of a single
    image are numbered in their order.

    Raises:
        InputError: It is not of that form.
        MaskError: Objects of several images cannot be told apart, or sizes differ.
    """
    path = next(iter(documents))
    images: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = []
    categories: dict[Any, str] = {}
    try:
        for document in documents.values():
            given = document["images"] if "images" in document else [document["image"]]
            categories |= {c["id"]: str(c["name"]) for c in document.get("categories", [])}
            by_image: dict[Any, list[dict[str, Any]]] = {}
            for annotation in document["annotations"]:
                by_image.setdefault(annotation.get("image_id"), []).append(annotation)
            for image in given:
                key = image.get("id", image.get("image_id"))
                own = by_image.get(key, by_image.get(None, []) if len(given) == 1 else [])
                images.append((frame_stem(image["file_name"]), image, own))
        sizes = {(int(i["height"]), int(i["width"])) for _, i, _ in images}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not in the form of COCO ({error})",
            hint="it needs images[] with file_name, height, width, and annotations[]",
        ) from error
    size = _one_size(path, sizes)
    found = [own for _, _, own in images]
    ids, keys, notes = _coco_ids(path, found, categories)
    result = Annotations("coco", size, {}, notes=notes)
    for place, (name, _, own) in enumerate(images):
        shapes = result.frames.setdefault(name, [])
        for annotation, key in zip(own, keys[place], strict=True):
            segmentation = annotation.get("segmentation")
            if segmentation:
                shapes.append((ids[key], _coco_shape(segmentation, size)))
                category = categories.get(annotation.get("category_id"))
                if category not in (None, GENERAL):
                    result.categories.setdefault(ids[key], category)
    return result


def _coco_ids(
    path: Path, found: list[list[dict[str, Any]]], categories: Mapping[Any, str]
) -> tuple[_Ids, list[list[Any]], list[str]]:
    """Return the ids, the key of each annotation, and notes."""
    keys = [[_track(a) for a in own] for own in found]
    flat = [key for own in keys for key in own]
    if flat and all(key is not None for key in flat):
        ids = _Ids(flat)
        return ids, keys, ids.notes("tracks")
    if sum(bool(own) for own in found) <= 1:
        keys = [[str(n) for n in range(1, len(own) + 1)] for own in found]
        return _Ids([key for own in keys for key in own]), keys, []
    keys = [[categories.get(a.get("category_id"), a.get("category_id")) for a in own]
            for own in found]  # fmt: skip
    if any(len(set(own)) < len(own) for own in keys):
        raise MaskError(
            f"{path}: several images, and nothing says which annotations are one object",
            hint="give annotations a track_id, or each object its own category",
        )
    ids = _Ids([f"category {key}" for own in keys for key in own])
    return ids, [[f"category {key}" for key in own] for own in keys], ids.notes("categories")


def _track(annotation: Mapping[str, Any]) -> Any:
    attributes = annotation.get("attributes")
    for place in (annotation, attributes if isinstance(attributes, dict) else {}):
        for key in ("track_id", "instance_id"):
            if place.get(key) is not None:
                return place[key]
    return None


def _coco_shape(segmentation: Any, size: tuple[int, int]) -> Shape:
    return lambda: decode_mask(segmentation, size)


def read_labelme(documents: Mapping[Path, dict[str, Any]]) -> Annotations:
    """Read labelme files, one each frame: polygons, rectangles, circles and masks.

    Shapes with the same label and the same group are one object. A label that is a whole
    number is the object's id.

    Raises:
        InputError: A file is not of that form.
        MaskError: Sizes differ.
    """
    path = next(iter(documents))
    shapes: list[tuple[str, Any, dict[str, Any]]] = []
    frames: dict[str, list[tuple[int, Shape]]] = {}
    notes: list[str] = []
    try:
        sizes = {(int(d["imageHeight"]), int(d["imageWidth"])) for d in documents.values()}
        size = _one_size(path, sizes)
        for file, document in documents.items():
            name = file.stem
            frames[name] = []
            for shape in document["shapes"]:
                group, label = shape.get("group_id"), _labelme_label(shape)
                shapes.append((name, label if group is None else f"{label} {group}", shape))
        groups = {(shape.get("group_id"), _labelme_label(shape)) for _, _, shape in shapes}
        if all(_whole(g) for g, _ in groups) and len({g for g, _ in groups}) == len(groups):
            shapes = [(name, shape["group_id"], shape) for name, _, shape in shapes]
        ids = _Ids([key for _, key, _ in shapes])
        categories: dict[int, str] = {}
        for name, key, shape in shapes:
            drawn = _labelme_shape(shape, size)
            if drawn is None:
                notes += _left_out(str(shape.get("shape_type")), notes)
                continue
            frames[name].append((ids[key], drawn))
            if _whole(label := _labelme_label(shape)) is None and label != GENERAL:
                categories.setdefault(ids[key], label)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not in the form of labelme ({error})") from error
    return Annotations(
        "labelme", size, frames, categories=categories, notes=notes + ids.notes("labels")
    )


def _labelme_label(shape: Mapping[str, Any]) -> str:
    """Return a shape's label; one that tools leave empty (``null``) is that of any object."""
    label = shape["label"]
    return GENERAL if label is None or label == "" else str(label)


def _left_out(kind: str, notes: Sequence[str]) -> list[str]:
    """Return a note on a kind of shapes that are not read, if it is not among the notes."""
    text = f"shapes of type {kind} have no area and are left out"
    return [] if text in notes else [text]


def _labelme_shape(shape: Mapping[str, Any], size: tuple[int, int]) -> Shape | None:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    match shape.get("shape_type", "polygon"):
        case "rectangle" if len(points) == 2:
            return _polygon(_corners(*points[0], *points[1]), size)
        case "polygon" | "rectangle" | "rotation":  # Of X-AnyLabeling, with four points.
            return _polygon(np.array(points), size)
        case "circle":
            (x, y), edge = points
            radius = float(np.hypot(edge[0] - x, edge[1] - y))
            return _polygon(_ring(x, y, radius, radius), size)
        case "mask":
            (x0, y0), _ = points
            return lambda: _pasted(_decoded_png(shape["mask"]), round(x0), round(y0), size)
    return None


def _polygon(points: NDArray[np.float64], size: tuple[int, int]) -> Shape:
    return lambda: decode_mask([points.ravel().tolist()], size)


def _corners(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float64]:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _ring(x: float, y: float, radius_x: float, radius_y: float) -> NDArray[np.float64]:
    turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack((x + radius_x * np.cos(turns), y + radius_y * np.sin(turns)), axis=1)


def _turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Return points turned clockwise, as it is seen, about the middle of what they span."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle


def _decoded_png(text: Any) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",)) as image:
            return np.asarray(image.convert("L")) > 0
    except UnidentifiedImageError as error:
        raise ValueError("its mask is no PNG") from error


def _pasted(
    mask: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return a mask of the frame's size with ``mask`` at a place; what is outside is cut off."""
    whole = np.zeros(size, np.bool_)
    rows = slice(max(0, top), max(0, min(size[0], top + mask.shape[0])))
    columns = slice(max(0, left), max(0, min(size[1], left + mask.shape[1])))
    whole[rows, columns] = mask[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return whole


def read_cvat(path: Path) -> Annotations:
    """Read XML of "CVAT for video": the masks, polygons, boxes and ellipses of its tracks.

    A track's object id is its number, which counts from 0, plus 1.

    Raises:
        InputError: It is no such XML.
        MaskError: A track has an unusable number.
    """
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise InputError(f"{path}: has a document type, which is not read")
        root = ElementTree.fromstring(content)
        stated = root.find("meta//original_size")
        tracks = root.findall("track")
        if stated is None or root.tag != "annotations":
            raise InputError(
                f"{path}: not in the form of CVAT for video (no size of the frames)",
                hint="export the task as 'CVAT for video 1.1'",
            )
        if not tracks and root.find("image") is not None:
            raise InputError(
                f"{path}: is CVAT for images, where nothing says which shapes are one object",
                hint="export the task as 'CVAT for video 1.1'",
            )
        size = (int(stated.findtext("height", "")), int(stated.findtext("width", "")))
        length = int(root.findtext("meta//size", "0"))
        ids = _Ids([track.attrib["id"] for track in tracks], zero_based=True)
        found: dict[int, list[tuple[int, Shape]]] = {i: [] for i in range(length)}
        categories: dict[int, str] = {}
        notes = ids.notes("tracks") if tracks else []
        for track in tracks:
            object_id = ids[track.attrib["id"]]
            if track.attrib["label"] != GENERAL:
                categories[object_id] = track.attrib["label"]
            for item in track:
                shape = _cvat_shape(item.tag, item.attrib, size)
                if shape is None:
                    notes += _left_out(item.tag, notes)
                elif item.attrib.get("outside") != "1":
                    found.setdefault(int(item.attrib["frame"]), []).append((object_id, shape))
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not readable as XML of CVAT ({error})") from error
    frames = {f"{index:05}": shapes for index, shapes in sorted(found.items())}
    return Annotations("cvat", size, frames, numbered=True, categories=categories, notes=notes)


def _cvat_shape(kind: str, values: Mapping[str, str], size: tuple[int, int]) -> Shape | None:
    if kind == "polygon":
        points = [float(v) for pair in values["points"].split(";") for v in pair.split(",")]
        return _polygon(np.array(points), size)
    drawn = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry")}
    if kind in drawn:
        outline = _corners if kind == "box" else _ring
        points = [float(values[key]) for key in drawn[kind]]
        return _polygon(_turned(outline(*points), float(values.get("rotation", "0"))), size)
    if kind == "mask":
        left, top, width, height = (int(values[k]) for k in ("left", "top", "width", "height"))
        runs = [int(run) for run in values["rle"].split(",")]
        return lambda: _pasted(_rows_of(runs, (height, width)), left, top, size)
    return None


def _rows_of(runs: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of runs along the rows, the first one of zeros."""
    if min(runs) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(f"its runs do not add up to {size[0] * size[1]} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def read_arrays(path: Path) -> Annotations:
    """Read ``.npy``, ``.npz``, TIFF: maps of object ids ``(H, W)``, of all frames ``(T, H, W)``.

    The arrays of a ``.npz`` with several are frames, by their names.

    Raises:
        InputError: It cannot be read, or is of another shape or type.
        MaskError: Sizes differ, or values are no ids.
    """
    is_tiff = path.suffix.lower() in {".tif", ".tiff"}
    arrays = {"": _tiff_array(path)} if is_tiff else _numpy_arrays(path)
    maps: dict[str, NDArray[Any]] = {}
    numbered = len(arrays) == 1 and next(iter(arrays.values())).ndim == 3
    for name, array in arrays.items():
        if array.ndim == 3 and len(arrays) == 1:
            maps = {f"{index:05}": array[index] for index in range(len(array))}
        elif array.ndim == 2:
            maps[name] = array
        else:
            raise InputError(
                f"{path}: an array of shape {array.shape}",
                hint="give object ids (height, width), or (frames, height, width)",
            )
    if not maps:
        raise InputError(f"{path}: holds no array")
    size = _one_size(path, {(m.shape[0], m.shape[1]) for m in maps.values()})
    values = sorted({int(v) for m in maps.values() for v in np.unique(_integers(path, m))} - {0})
    if values and not 1 <= values[0] <= values[-1] <= MAX_ID:
        raise MaskError(f"{path}: values from {values[0]} to {values[-1]}; ids are 1 to {MAX_ID}")
    alone = values == [255]
    frames = {
        name: [(1 if alone else v, _equal(m, v)) for v in values if (m == v).any()]
        for name, m in maps.items()
    }
    notes = ["every value is 0 or 255: 255 is object 1"] if alone else []
    if len(maps) == 1 and not numbered:
        frames = {"": next(iter(frames.values()))}
    return Annotations("array", size, frames, numbered=numbered, notes=notes)


def _numpy_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InputError(
            f"{path}: not readable as NumPy's format ({error})",
            hint="a pickle in it is never read: save the map of ids alone"
            if "allow_pickle" in str(error)
            else None,
        ) from error


def _tiff_array(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        array = np.squeeze(tifffile.imread(path))
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: not a readable TIFF ({error})") from error
    page = array if array.ndim == 2 else next((p for p in array if p.any()), array[0])
    if page.dtype == np.uint8 and page.ndim == 2 and has_edge_values(page[..., None]):
        raise anti_aliased(path, f"{np.unique(page).size} values")
    return array


def _integers(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind in "biu":
        return array
    if array.dtype.kind == "f" and np.array_equal(array, np.rint(array)):
        return array.astype(np.int64)
    raise MaskError(
        f"{path}: values of type {array.dtype} are no object ids",
        hint="threshold probabilities, or number the objects from 1",
    )


def _equal(array: NDArray[Any], value: int) -> Shape:
    return lambda: array == value


def _one_size(path: Path, sizes: set[tuple[int, int]]) -> tuple[int, int]:
    """Return the only size.

    Raises:
        MaskError: There are several, or none.
    """
    if len(sizes) != 1 or min(next(iter(sizes))) < 1:
        listed = ", ".join(f"{w}x{h}" for h, w in sorted(sizes)) or "none"
        raise MaskError(f"{path}: frames of one size are needed, found {listed}")
    return next(iter(sizes))


def json_files(folder: Path) -> list[Path]:
    """Return the visible JSON files of a folder in natural order."""
    found = [f for f in folder.glob("*.json") if not f.name.startswith(".") and f.is_file()]
    return sorted(found, key=natural_key)
