"""One video, one folder, one job at a time: what the page can ask for."""

import shlex
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import cv2
import numpy as np

from model.config import PRESETS
from model.errors import ConfigError, MaskError, PCVOSError
from pcvos_cli import segment_video
from pcvos_cli.annotate.events import Events
from pcvos_cli.annotate.project import EXPORT, MASKS, REFERENCES, Project
from pcvos_cli.annotate.propagation import Propagation
from pcvos_cli.annotate.runs import Labels
from pcvos_cli.first_mask.prompts import Predictor, open_predictor
from pcvos_cli.run.settings import FORMATS
from pcvos_cli.video.source import FrameSource

MAX_SHOWN = 1920
"""Longer side of a frame as the page gets it, in pixels."""

PICTURES = 64
"""Frames kept as JPEG."""

Json = dict[str, Any]


class Stopped(Exception):  # noqa: N818
    """The user stopped an export."""


class Session:
    """What the routes call. Every method may run in any thread.

    Args:
        source: The opened video.
        project: Its annotation.
        on_error: Told what goes wrong, for the terminal.
    """

    def __init__(
        self, source: FrameSource, project: Project, on_error: Callable[[Exception], None]
    ) -> None:
        self.project = project
        self.events = Events()
        self._source = source
        self._propagation = Propagation(source, project)
        self.on_error = on_error
        self._pictures: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._job: Json = {"kind": None}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._predicting = threading.Lock()
        self._predictor: Predictor | None = None
        self._looked_at: tuple[int, int] | None = None

    @property
    def max_body(self) -> int:
        """Bytes that a request may send: a mask of which every fourth pixel begins a run."""
        height, width = self.project.size
        return max(1 << 16, 2 * height * width)

    def state(self) -> Json:
        """Return all that a page shows beside frames and masks."""
        project, frames = self.project, self.project.frames
        with project.lock:
            return {
                "video": {
                    "path": str(frames.info.path),
                    "name": frames.info.path.resolve().name,
                    "frames": frames.count,
                    "width": frames.info.width,
                    "height": frames.info.height,
                    "fps": float(frames.info.fps),
                    "counted": frames.counted,
                },
                "folder": str(project.folder),
                "objects": [asdict(item) for item in project.objects],
                "settings": asdict(project.choices),
                "references": {str(f): list(ids) for f, ids in sorted(project.references.items())},
                "masked": _ranges(project.masked),
                "choices": {
                    "model": list(PRESETS),
                    "formats": [f for f in FORMATS if f != "composite"],
                },
                "job": dict(self._job),
                "command": self.command(),
            }

    def command(self) -> str:
        """Return the command line that gives the masks of an export."""
        project, choices = self.project, self.project.choices
        words = [
            *("pcvos", "segment", str(project.frames.info.path)),
            *("--mask", str(project.folder / REFERENCES)),
            *("--out", str(project.folder / EXPORT)),
            *("--format", ",".join(choices.formats)),
            *("--interval", str(choices.interval)),
            *("--cuts", "ignore"),
            *("--size", "native" if choices.size is None else str(choices.size)),
            *("--model", choices.model),
            *(["--backward"] if choices.backward else []),
            *(f"--end-object={i}@{frame}" for i, frame in project.settings.end_objects),
            "--overwrite",
        ]
        return shlex.join(words)

    def picture(self, frame: int) -> bytes:
        """Return a frame as JPEG; errors as ``FrameFinder.rgb``."""
        frames = self.project.frames
        key = (frames.counted, frame)
        if (known := self._pictures.get(key)) is not None:
            return known
        rgb = frames.rgb(frame)
        scale = MAX_SHOWN / max(rgb.shape[:2])
        if scale < 1:
            size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        _, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        self._pictures[key] = jpeg.tobytes()
        while len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)
        return jpeg.tobytes()

    def correct(self, frame: int, labels: Labels, *, reference: bool) -> None:
        """Keep a mask that was drawn; errors as ``Project.correct``."""
        self.project.correct(frame, labels, reference=reference)
        self.changed(frame)

    def prompt(self, frame: int, asked: Json) -> Labels:
        """Cut one object out by a box and clicks, in front of all others.

        Raises:
            PCVOSError: Nothing is found, or the object is not in the list.
        """
        number, box = int(asked["object"]), asked.get("box")
        if box is not None:
            left, top, width, height = map(int, box)
            box = (left, top, width, height)
        clicks = [(int(x), int(y), bool(positive)) for x, y, positive in asked.get("clicks", [])]
        if number not in {item.id for item in self.project.objects}:
            raise ConfigError(f"there is no object {number}")
        with self._predicting:
            labels = self.project.labels(frame)
            mask = labels == number
            # A box says where the object is, whatever was there; clicks correct what is there.
            found = self._predictor_of(frame).predict(
                box, clicks, mask if clicks and mask.any() else None
            )
            if not found.any():
                raise MaskError("nothing was found there", hint="draw the box closer, or click it")
            labels[mask] = 0
            labels[found] = number
            self.correct(frame, labels, reference=True)
        return labels

    def _predictor_of(self, frame: int) -> Predictor:
        """Return the predictor, looking at a frame."""
        if self._predictor is None:
            self._predictor = open_predictor()
        looked_at = (self.project.frames.counted, frame)
        if self._looked_at != looked_at:
            self._predictor.set_image(self.project.frames.rgb(frame))
            self._looked_at = looked_at
        return self._predictor

    def propagate(self, asked: Json) -> None:
        """Start to make the masks of further frames.

        Raises:
            ConfigError: Another job runs, or a frame is not there.
        """
        backward = asked["direction"] == "backward"
        start, to = self.frame(asked["start"]), asked.get("to")
        end = 0 if backward else self.project.frames.count - 1
        last = end if to is None else self.frame(to)
        if (last > start) if backward else (last < start):
            raise ConfigError(
                f"frame {last} lies {'after' if backward else 'before'} frame {start}",
                hint="empty 'up to frame' to go all the way",
            )
        if backward and start == min(self.project.references, default=-1):
            self.project.choose(backward=True)
        run = self._propagation.backward if backward else self._propagation.forward
        self._start(
            "backward" if backward else "forward",
            abs(last - start) + 1 - backward,
            lambda: run(start, last, lambda frame: self._finished(frame, start)),
        )

    def export(self) -> None:
        """Start ``pcvos segment`` on the references.

        Raises:
            ConfigError: Another job runs, or there is no reference.
        """
        project = self.project
        if not project.references:
            raise ConfigError("there is nothing to export", hint="draw an object first")
        target = project.folder / EXPORT

        def run() -> None:
            settings = replace(project.settings, overwrite=True)

            def advance(count: int) -> None:
                if self._stop.is_set():
                    raise Stopped
                self._advance(count)

            segment_video(
                project.frames.info.path,
                [project.folder / REFERENCES],
                target,
                settings,
                on_frames=advance,
            )
            project.take_over(target / MASKS)

        self._start("export", project.frames.count, run)

    def stop(self) -> None:
        """Ask the job to end after the frame it is at."""
        self._stop.set()

    def close(self) -> None:
        """End the job, and the pages' streams."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self, kind: str, total: int, run: Callable[[], None]) -> None:
        with self.project.lock:
            if self._job["kind"] is not None:
                raise ConfigError(f"{self._job['kind']} is running", hint="stop it first")
            self._job = {"kind": kind, "done": 0, "total": total, "fps": None}
        self._stop.clear()

        def work() -> None:
            failure: Exception | None = None
            try:
                run()
            except Stopped:
                pass
            except Exception as error:  # a job never ends the server
                failure = error
            stopped, done = self._stop.is_set(), self._job["done"]
            self._job = {"kind": None}
            if failure is not None:
                self.on_error(failure)
                self.events.send("error", **in_words(failure))
            self.changed()
            self.events.send(
                "done", job=kind, stopped=stopped, failed=failure is not None, frames=done
            )

        self._thread = threading.Thread(target=work, name="pcvos-annotate-job", daemon=True)
        self._thread.start()
        self.changed()

    def _finished(self, frame: int, start: int) -> bool:
        if self._job["kind"] == "forward" and frame < start:
            self._job["passing"] = frame
            self.events.send("progress", frame=None, job=dict(self._job))
        else:
            self._advance(1, frame)
        return not self._stop.is_set()

    def _advance(self, count: int, frame: int | None = None) -> None:
        job, now = self._job, time.monotonic()
        if job["done"] == 0:
            self._began = now  # Loading the network is not counted.
        elif now > self._began:
            job["fps"] = round(job["done"] / (now - self._began), 1)
        job["done"] += count
        job["passing"] = None
        self.events.send("progress", frame=frame, job=dict(job))

    def changed(self, frame: int | None = None) -> None:
        """Tell all pages the state, and which frame's mask is new."""
        self.events.send("state", state=self.state(), frame=frame)

    def frame(self, value: Any) -> int:
        """Return a frame's index.

        Raises:
            ConfigError: There is no such frame.
        """
        count = self.project.frames.count
        if not isinstance(value, int) or not 0 <= value < count:
            raise ConfigError(f"frame {value}: the video has frames 0 to {count - 1}")
        return value


def in_words(error: Exception) -> dict[str, str | None]:
    """Return an error as the page shows it."""
    if isinstance(error, PCVOSError):
        return {"error": error.message, "hint": error.hint}
    return {"error": f"unexpected {type(error).__name__}: {error}", "hint": None}


def _ranges(frames: set[int]) -> list[list[int]]:
    """Return frames as ``[first, last]`` of each unbroken range."""
    found: list[list[int]] = []
    for frame in sorted(frames):
        if found and found[-1][1] == frame - 1:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return found
