"""The folder of a run: its state, the weights it exports, the lines of its figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.checkpoint import save_checkpoint, write_whole
from model.network.prompt import PromptSegmenter
from model.pcvos import PCVOS
from model.training.config import TrainConfig
from model.training.recipe import config_to_dict
from model.training.state import LAST, METRICS, STATE, TrainState, save_state


class RunRecord:
    """Writes what a run leaves; does nothing in processes that do not lead.

    Args:
        folder: Is made when something is written.
        writes: Whether this process leads.
    """

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self.folder = folder
        self._writes = writes

    def rewind(self, step: int) -> None:
        """Drop the lines of steps that a kill undid, so that each step is told once.

        Args:
            step: The last one that counts.
        """
        path = self.folder / METRICS
        if not self._writes or not path.is_file():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError):
                break  # Cut short by a kill.
        write_whole(path, lambda file: file.write("".join(kept).encode()))

    def line(self, figures: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        if self._writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")

    def state(self, state: TrainState, exported: PCVOS | PromptSegmenter) -> None:
        """Save the state and, beside it, the weights as ``segment`` takes them."""
        if self._writes:
            save_state(self.folder / STATE, state)
            self.weights(LAST, exported, state.config, state.step, None)

    def weights(
        self,
        name: str,
        model: PCVOS | PromptSegmenter,
        config: TrainConfig,
        step: int,
        score: float | None,
    ) -> None:
        """Export weights with their recipe, step and score inside."""
        if self._writes:
            metadata = {
                "recipe": json.dumps(config_to_dict(config), sort_keys=True),
                "step": str(step),
            }
            if score is not None:
                metadata["validation"] = f"{score:.4f}"
            save_checkpoint(self.folder / name, model.config, model.state_dict(), metadata)
