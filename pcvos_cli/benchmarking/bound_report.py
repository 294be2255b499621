"""What a bounded memory costs in accuracy on a long video. Free of torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InputError
from pcvos_cli.benchmarking.report import Machine
from pcvos_cli.benchmarking.tables import Table


@dataclass(frozen=True, slots=True)
class BoundLine:
    """One long video, segmented with one bound and rule.

    Attributes:
        sequence: Whose frames are played forwards and backwards.
        frames: Of the long video.
        bound: Frames in the memory at most; ``None``: all.
        rule: Which frame is dropped: the one used least (``usage``) or the ``oldest``.
        J_mean: Mean J of all frames after the first, in [0, 1].
        J_last: That of the last tenth of them.
        seconds: A frame of the model alone, by quarters of the video.
    """

    sequence: str
    frames: int
    bound: int | None
    rule: str
    J_mean: float
    J_last: float
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BoundReport:
    """Bounds and rules compared.

    Attributes:
        protocol: How, in words and numbers.
        machine: What on.
        bounds: A line a video, bound and rule.
    """

    protocol: Mapping[str, Any]
    machine: Machine
    bounds: tuple[BoundLine, ...]

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BoundReport":
        """Read what ``to_document`` wrote.

        Raises:
            InputError: If it is another document.
        """
        try:
            lines = [
                BoundLine(**{**line, "seconds": tuple(line["seconds"])})
                for line in document["bounds"]
            ]
            machine = Machine.from_values(document["machine"])
            return cls(document["protocol"], machine, tuple(lines))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a comparison of bounds: {error!r}") from error


def bound_table(report: BoundReport) -> Table:
    """Return J, in percent, and seconds a frame by bound and rule."""
    rows = []
    for line in report.bounds:
        row = [line.sequence, str(line.frames), "all" if line.bound is None else str(line.bound)]
        row += ["-" if line.bound is None else line.rule]
        row += [f"{100 * line.J_mean:.2f}", f"{100 * line.J_last:.2f}"]
        row += [", ".join(f"{seconds:.3f}" for seconds in line.seconds)]
        rows.append(row)
    header = ["sequence", "frames", "memory frames", "drops", "J", "J, last tenth"]
    header.append("s a frame by quarters, model alone")
    return Table("J on a long video, by what the memory holds", header, rows)
