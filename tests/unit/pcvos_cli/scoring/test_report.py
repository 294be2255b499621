"""Reports to JSON, CSV and tables."""

import pytest

from model.metrics.summary import ObjectScore, summarise_object
from pcvos_cli.scoring.report import EvaluationReport, score_rows, seen_unseen_scores, to_csv

OBJECTS: tuple[ObjectScore, ...] = (
    summarise_object("a", 1, [0.9] * 8, [0.7] * 8),
    summarise_object("a", 4, [0.5] * 8, [0.3] * 8),
    summarise_object("b", 1, [0.1] * 8, [0.2] * 8),
)


def test_g_is_the_mean_of_four_groups() -> None:
    categories = {"a_1": "cat", "a_4": "ant", "b_1": "cat"}

    groups = seen_unseen_scores(OBJECTS, categories, frozenset({"cat"}))

    assert groups["J_seen"] == pytest.approx(0.5)
    assert groups["F_seen"] == pytest.approx(0.45)
    assert groups["J_unseen"] == pytest.approx(0.5)
    assert groups["F_unseen"] == pytest.approx(0.3)
    assert groups["G"] == pytest.approx((0.5 + 0.45 + 0.5 + 0.3) / 4)


def test_an_object_without_a_category_is_in_no_group() -> None:
    groups = seen_unseen_scores(OBJECTS, {"a_1": "cat"}, frozenset({"cat"}))

    assert groups["J_seen"] == pytest.approx(0.9)
    assert groups["J_unseen"] is None
    assert groups["G"] is None


def test_rows_name_objects_only_where_there_are_several() -> None:
    report = EvaluationReport("davis2017", {}, OBJECTS)

    rows = dict(score_rows(report))

    assert list(rows) == ["overall", "a", "  1", "  4", "b"]
    assert rows["overall"][0] == pytest.approx((0.5 + 0.4) / 2)
    assert rows["b"] == pytest.approx([0.15, 0.1, 0, 0, 0.2, 0, 0])
    assert len(to_csv({"x": report}).splitlines()) == 1 + 1 + 2 + 3
