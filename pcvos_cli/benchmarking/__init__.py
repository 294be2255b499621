"""``pcvos benchmark``: speed, memory and accuracy. The front door is ``run``.

::

    clip (given, or made by scene) ─> measure ─> report ─> tables, plot
    data set ─> accuracy ───────────────────────┘
    rows of weights ─> ablation (measure, accuracy) ─> ablation_tables, plot
"""
