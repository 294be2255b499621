"""The paper's own figures, to stand beside ours and never to be taken for them.

Tables 1 and 2: overall score (G, in percent) on YouTube-VOS 2019 validation at
L = 5, 10, 15, 25.
"""

PAPER_INTERVALS = (5, 10, 15, 25)

PAPER_SOURCE = "the paper's own figures: G on YouTube-VOS 2019 validation, its machine and weights"

PAPER_TABLE_1 = (
    ("STCN", frozenset[str](), (82.7, 81.9, 79.6, 78.1)),
    ("", frozenset({"pmm"}), (82.7, 82.3, 81.7, 81.1)),
    ("", frozenset({"pmm", "pct"}), (83.6, 83.0, 82.5, 81.8)),
    ("Ours", frozenset({"pmm", "pct", "icr"}), (84.6, 84.1, 83.6, 83.0)),
)
"""Name, parts that are on, scores."""

PAPER_TABLE_2 = (
    ("Trad.", "frame", 3, False, (83.1, 82.6, 82.3, 81.8)),
    ("(1)", "frame", 7, True, (83.5, 83.1, 83.1, 82.2)),
    ("(2)", "clip", 5, True, (83.9, 83.8, 83.4, 82.7)),
    ("(2)", "clip", 9, True, (83.8, 83.3, 83.3, 82.7)),
    ("(3)", "clip", 7, False, (83.7, 83.3, 82.5, 82.0)),
    ("Ours", "clip", 7, True, (84.6, 84.1, 83.6, 83.0)),
)
"""Name, type, frames (NF), clip supervision (CS), scores."""
