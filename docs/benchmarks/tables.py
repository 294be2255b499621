"""Write the tables of ``docs/benchmarks/README.md`` from the JSON files beside it.

.venv/bin/python docs/benchmarks/tables.py
"""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
STAGES = ("key_encoder", "memory_read", "refinement", "decoder", "aggregation", "value_encoder")
WRITING = ("decode", "labels", "write_png", "write_rle", "write_overlay")


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


def markdown(rows: list[list[str]]) -> str:
    """Return rows, the first of them the head, as a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def main() -> None:
    """Replace each table between its two marks."""
    page = FOLDER / "README.md"
    text = page.read_text(encoding="utf-8")
    for table in (speed, stages, long):
        start, end = f"<!-- {table.__name__} -->", f"<!-- end of {table.__name__} -->"
        new = f"{start}\n{markdown(table())}\n{end}"
        text, found = re.subn(f"{start}.*?{end}", lambda _, new=new: new, text, flags=re.DOTALL)
        assert found == 1, table.__name__
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
