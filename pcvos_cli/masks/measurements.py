"""Measurements of every object on every frame: a CSV, and a page with a plot of the areas."""

import csv
import html
import math
from array import array
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model.errors import OutputError
from pcvos_cli.files import make_directory, output_errors, remove, temporary, write_text
from pcvos_cli.masks.palette import bright_colour_of
from pcvos_cli.masks.writers import FrameMasks

COLUMNS = (
    "frame",
    "name",
    "time",
    "object",
    "area",
    "centroid_x",
    "centroid_y",
    "bbox_x",
    "bbox_y",
    "bbox_width",
    "bbox_height",
    "mean_intensity",
    "orientation",
    "touches_border",
)
"""Of the CSV: pixels, seconds, degrees; docs/how-to/results.md says what each is."""

_LUMA = np.array([0.299, 0.587, 0.114])
"""Grey of RGB, Rec. 601, as Pillow and OpenCV have it."""

_POINTS = 2000
"""Of a line in the plot, at most."""


class MeasurementWriter:
    """``objects.csv``, a row a frame and object, and ``report.html`` with the areas over time.

    An object that is not on a frame has area 0 and empty fields after it.

    Args:
        path: The CSV file.
        report: The page.
        object_ids: The objects, ascending.
        time_base: Seconds a unit of ``FrameMasks.pts``.
        title: Name of the video.
        value_range: What black and white of the frames are in the units of the file, if those
            are not 0 and 255; intensities are given in these units.

    Raises:
        OutputError: The CSV cannot be created.
    """

    def __init__(
        self,
        path: Path,
        report: Path,
        object_ids: Sequence[int],
        *,
        time_base: Fraction,
        title: str,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self._path, self._report, self._title = path, report, title
        self._low, self._high = value_range or (0.0, 255.0)
        self._time_base = time_base
        self._times = array("d")
        self._areas = {object_id: array("q") for object_id in object_ids}
        make_directory(path.parent)
        with output_errors(path):
            self._out = temporary(path).open(
                "w", encoding="utf-8", errors="backslashreplace", newline=""
            )
            self._rows = csv.writer(self._out, lineterminator="\n")
            self._rows.writerow(COLUMNS)

    def write(self, frame: FrameMasks) -> None:
        """Write the rows of one frame.

        Raises:
            OutputError: They cannot be written.
        """
        time = float(frame.pts * self._time_base)
        self._times.append(time)
        with output_errors(self._path):
            for object_id, areas in self._areas.items():
                found = self._measure(frame, object_id)
                areas.append(found[0])
                self._rows.writerow([frame.index, frame.name, f"{time:.6f}", object_id, *found])

    def _measure(self, frame: FrameMasks, object_id: int) -> list[Any]:
        """Return the fields from the area on."""
        mask = (frame.labels == object_id).view(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if not width:
            return [0, *[""] * (len(COLUMNS) - 5)]
        part = np.s_[y : y + height, x : x + width]
        inside = mask[part]
        moments = cv2.moments(inside, binaryImage=True)
        area = round(moments["m00"])
        grey = frame.rgb[part][inside > 0].mean(axis=0) @ _LUMA
        intensity = self._low + grey / 255 * (self._high - self._low)
        rows, columns = mask.shape
        touches = x == 0 or y == 0 or x + width == columns or y + height == rows
        # Rows go down, angles count anticlockwise from the x axis.
        angle = math.degrees(
            -0.5 * math.atan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"])
        )
        return [
            area,
            f"{x + moments['m10'] / moments['m00']:.3f}",
            f"{y + moments['m01'] / moments['m00']:.3f}",
            x,
            y,
            width,
            height,
            f"{intensity:.6g}",
            f"{angle:.2f}",
            int(touches),
        ]

    def close(self) -> None:
        """Finish both files and give them their names.

        Raises:
            OutputError: One cannot be written.
        """
        try:
            with output_errors(self._path):
                self._out.close()
                temporary(self._path).replace(self._path)
        except OutputError:
            self.abort()
            raise
        write_text(self._report, self._page())

    def abort(self) -> None:
        """Remove what is unfinished."""
        try:
            self._out.close()
        except OSError:  # A full disk fails again on closing.
            pass
        finally:
            remove(temporary(self._path))

    def _page(self) -> str:
        title = html.escape(self._title)
        rows = "".join(
            f"<tr><td><span style='color:{_css(i)}'>&#9632;</span> {i}</td><td>"
            f"{sum(a > 0 for a in areas)}</td><td>{np.mean(areas) if areas else 0:.1f}</td>"
            f"<td>{min(areas, default=0)}</td><td>{max(areas, default=0)}</td></tr>"
            for i, areas in self._areas.items()
        )
        return (
            "<!doctype html><html lang='en'><meta charset='utf-8'>"
            f"<title>{title}: objects over time</title><style>body{{font:15px sans-serif;"
            "max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{padding:.2rem .8rem;"
            "text-align:right}svg{width:100%;height:auto}</style>"
            f"<h1>{title}</h1><h2>Area over time</h2>{self._plot()}"
            "<table><tr><th>object</th><th>frames with it</th><th>mean area</th><th>smallest</th>"
            f"<th>largest</th></tr>{rows}</table>"
            f"<p>Areas in pixels. All measurements: <a href='{self._path.name}'>"
            f"{self._path.name}</a></p></html>\n"
        )

    def _plot(self) -> str:
        """Return the areas as lines, in SVG."""
        width, height, left, bottom = 900, 360, 70, 40
        times = np.asarray(self._times)
        start = float(times[0]) if times.size else 0.0
        span = max(float(times[-1]) - start, 1e-9) if times.size else 1.0
        top = max((max(areas, default=0) for areas in self._areas.values()), default=0) or 1
        parts = []
        for value in _ticks(0, top):
            y = height - bottom - (height - bottom - 10) * value / top
            parts.append(
                f"<line x1='{left}' x2='{width}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>"
                f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end' font-size='12'>"
                f"{value:.10g}</text>"
            )
        for value in _ticks(start, start + span):
            x = left + (width - left - 20) * (value - start) / span
            parts.append(
                f"<text x='{x:.1f}' y='{height - 18}' text-anchor='middle' font-size='12'>"
                f"{value:.10g}</text>"
            )
        chosen = np.unique(np.linspace(0, max(0, times.size - 1), _POINTS).astype(int))
        for object_id, areas in self._areas.items():
            if not times.size:
                break
            xs = left + (times[chosen] - start) / span * (width - left - 20)
            ys = height - bottom - np.asarray(areas)[chosen] / top * (height - bottom - 10)
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
            parts.append(
                f"<polyline points='{points}' fill='none' stroke='{_css(object_id)}' "
                "stroke-width='2'/>"
            )
        parts.append(
            f"<text x='{(width + left) / 2}' y='{height - 2}' text-anchor='middle' "
            "font-size='12'>seconds</text>"
        )
        return (
            f"<svg viewBox='0 0 {width} {height}' role='img' "
            f"aria-label='area of each object over time'>{''.join(parts)}</svg>"
        )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from ``low`` to ``high``: three to seven multiples of 1, 2 or 5."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = max(n * power for n in (1, 2, 5) if n * power * 3 <= (high - low) * (1 + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _css(object_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(3 * c // 4 for c in bright_colour_of(object_id)))
