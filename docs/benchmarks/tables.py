"""Write the tables of ``docs/benchmarks/README.md`` and ``ablation.png`` from the JSON beside it.

.venv/bin/python docs/benchmarks/tables.py
"""

import json
import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
STAGES = ("key_encoder", "memory_read", "refinement", "decoder", "aggregation", "value_encoder")
WRITING = ("decode", "labels", "write_png", "write_rle", "write_overlay")

MODULES: dict[str, tuple[float, ...]] = {
    "stcn": (82.7, 81.9, 79.6, 78.1),
    "pmm": (82.7, 82.3, 81.7, 81.1),
    "pct": (),
    "pmm+pct": (83.6, 83.0, 82.5, 81.8),
    "pct+icr": (),
    "pmm+pct+icr": (84.6, 84.1, 83.6, 83.0),
}
"""Rows of ``ablation.json`` in the paper's table 1, and its G on YouTube-VOS 2019 at each L."""

SCHEMES: dict[str, tuple[float, ...]] = {
    "frame, 3 frames": (83.1, 82.6, 82.3, 81.8),
    "clip, no CS": (83.7, 83.3, 82.5, 82.0),
    "pmm+pct+icr": (84.6, 84.1, 83.6, 83.0),
}
"""Likewise in table 2."""


def read(name: str) -> Any:
    """Return a JSON document of this folder."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def measurements(name: str) -> list[Any]:
    """Return the measurements of the whole method."""
    return [m for m in read(name)["measurements"] if m.get("variant", "full") == "full"]


def speed_row(name: str, measured: Any) -> list[str]:
    """Return clip length, objects, seconds and FPS, and peak memory of a measurement."""
    alone, whole = (measured[key]["median"] for key in ("fps_model", "fps_end_to_end"))
    return [
        name,
        str(measured["interval"]),
        str(measured["objects"]),
        f"{1 / alone:.3f}",
        f"{1 / whole:.3f}",
        f"{whole:.2f}",
        f"{measured['peak_memory_mb']:.0f}",
    ]


def speed() -> list[list[str]]:
    """Return the table of seconds a frame, by model, clip length and objects."""
    rows = [["model", "L", "objects", "model alone, s", "end to end, s", "FPS", "peak MB"]]
    files = {"speed": "`pcvos-lite`", "objects": "`pcvos-lite`", "speed-r50": "`pcvos-r50`"}
    return rows + [speed_row(model, m) for name, model in files.items() for m in measurements(name)]


def stages() -> list[list[str]]:
    """Return the table of milliseconds a frame by stage, at L = 10 with one object."""
    shown = {
        "`pcvos-lite`": next(m for m in measurements("speed") if m["interval"] == 10),
        "`pcvos-r50`": measurements("speed-r50")[0],
    }
    rows = [["stage", *shown]]
    for key, names in (("model_stages", STAGES), ("end_to_end_stages", WRITING)):
        for name in names:
            values = [f"{1000 * m[key][name]:.1f}" for m in shown.values()]
            rows.append([name.replace("_", " "), *values])
    return rows


def long() -> list[list[str]]:
    """Return the table of a long video: every fourth stretch of 100 frames, and the last."""
    document = read("long")
    parts = document["stretches"]
    rows = [["frames", "s a frame", "resident MB"]]
    for part in [*parts[:-1:4], parts[-1]]:
        span = f"{part['first']:,} to {part['last']:,}"
        rows.append([span, f"{part['seconds']:.3f}", f"{part['resident_mb']:.0f}"])
    return [*rows, ["whole run, at most", "", f"{document['peak_mb']:.0f}"]]


def scored(row: Any, paper: tuple[float, ...]) -> list[str]:
    """Return a row's J&F in percent at each clip length, with the paper's score in brackets."""
    ours = [f"{100 * cell['accuracy']['JF_mean']:.1f}" for cell in row["cells"]]
    return [f"{o} ({p})" for o, p in zip(ours, paper, strict=True)] if paper else ours


def modules() -> list[list[str]]:
    """Return the paper's table 1: what progressive matching, clips and refinement give."""
    rows = {row["name"]: row for row in read("ablation")["rows"]}
    lengths = [f"L = {cell['interval']}" for cell in rows["stcn"]["cells"]]
    table = [["PMM", "PCT", "ICR", *lengths]]
    for name, paper in MODULES.items():
        parts = ["yes" * rows[name][part] for part in ("pmm", "pct", "icr")]
        table.append([*parts, *scored(rows[name], paper)])
    return table


def schemes() -> list[list[str]]:
    """Return the paper's table 2: how samples are cut up, and the loss over clips."""
    rows = {row["name"]: row for row in read("ablation")["rows"]}
    lengths = [f"L = {cell['interval']}" for cell in rows["stcn"]["cells"]]
    table = [["trained", "frames", "CS", *lengths]]
    for name, paper in SCHEMES.items():
        how = rows[name]["training"]
        told = [f"{how['type']} by {how['type']}", str(how["frames"])]
        told.append("yes" * how["clip_supervision"])
        table.append([*told, *scored(rows[name], paper)])
    return table


def draw_modules() -> None:
    """Draw the rows of table 1 that the paper has, ours beside its own."""
    rows = {row["name"]: row for row in read("ablation")["rows"]}
    lengths = [cell["interval"] for cell in rows["stcn"]["cells"]]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, paper in MODULES.items():
        if paper:
            cells = rows[name]["cells"]
            left.plot(lengths, [100 * cell["accuracy"]["JF_mean"] for cell in cells], marker="o")
            right.plot(lengths, paper, marker="o", label=name.upper().replace("+", " + "))
    left.set(title="trained here: J&F, six DAVIS sequences")
    right.set(title="the paper: G, YouTube-VOS 2019")
    for axes in (left, right):
        axes.set(xlabel="clip length L", xticks=lengths)
        axes.grid(alpha=0.3)
    left.set_ylabel("%")
    figure.legend(loc="outside right")
    figure.savefig(FOLDER / "ablation.png", dpi=110)


def markdown(rows: list[list[str]]) -> str:
    """Return rows, the first of them the head, as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> None:
    """Replace each table between its two marks."""
    page = FOLDER / "README.md"
    text = page.read_text(encoding="utf-8")
    for table in (speed, stages, long, modules, schemes):
        start, end = f"<!-- {table.__name__} -->", f"<!-- end of {table.__name__} -->"
        new = f"{start}\n{markdown(table())}\n{end}"
        text, found = re.subn(f"{start}.*?{end}", lambda _, new=new: new, text, flags=re.DOTALL)
        assert found == 1, table.__name__
    page.write_text(text, encoding="utf-8")
    draw_modules()


if __name__ == "__main__":
    main()
