"""How the text of options is read."""

import pytest
import typer

from pcvos_cli.options import parse_absent, parse_end_objects


def test_ends_are_pairs_of_object_and_first_frame_without_it() -> None:
    assert parse_end_objects([]) == ()
    assert parse_end_objects(["2@120", "1@00007", "2@120", "3@a@b"]) == (
        (2, "120"),
        (1, "00007"),
        (3, "a@b"),
    )
    assert parse_end_objects(["2@120"], ["1=00007"]) == ((2, "120"), (1, "8"))


@pytest.mark.parametrize("text", ["2", "@3", "2@", "a@1", "2=3", "²@1"])
def test_what_is_no_such_pair_is_refused(text: str) -> None:
    for parse in (parse_end_objects, parse_absent):
        with pytest.raises(typer.BadParameter, match="give ID@FRAME"):
            parse([text])


@pytest.mark.parametrize("text", ["2", "=3", "2=", "a=1", "1=-1", "1=2=3", "²=1"])
def test_the_older_form_is_refused_likewise(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give ID=FRAME"):
        parse_end_objects([], [text])
