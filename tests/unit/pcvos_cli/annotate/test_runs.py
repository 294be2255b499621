"""Label maps on the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.errors import MaskError
from pcvos_cli.annotate.runs import decode_runs, encode_runs

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(arrays(np.uint8, SIZES, elements=st.sampled_from([0, 1, 254])))
def test_what_is_encoded_comes_back(labels: np.ndarray) -> None:
    assert np.array_equal(decode_runs(encode_runs(labels), labels.shape), labels)


@pytest.mark.parametrize(
    "pairs", [[], [0, 11], [0, 13], [255, 12], [1, 2**32 - 1], [0, 12, 300, 0], [0] * 3]
)
def test_what_a_page_would_not_send_is_refused(pairs: list[int]) -> None:
    with pytest.raises(MaskError):
        decode_runs(np.array(pairs, "<u4").tobytes(), (3, 4))
