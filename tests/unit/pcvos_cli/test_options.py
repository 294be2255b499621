"""How the text of options is read."""

import pytest
import typer

from pcvos_cli.options import parse_until


def test_until_is_pairs_of_object_and_frame() -> None:
    assert parse_until([]) == ()
    assert parse_until(["2=120", "1=00007", "2=120"]) == ((1, 7), (2, 120))


@pytest.mark.parametrize("text", ["2", "=3", "2=", "a=1", "1=-1", "1=2=3", "²=1"])
def test_what_is_no_such_pair_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give ID=FRAME"):
        parse_until([text])
