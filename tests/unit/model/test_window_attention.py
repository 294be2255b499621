"""3-D shifted windows against literal loops."""

import pytest
import torch

from model.network.window_attention import (
    OTHER_REGION,
    WindowAttention3d,
    WindowLayout,
    from_windows,
    relative_position_index,
    shift_mask,
    to_windows,
)

SIZES = [(1, 3, 4), (2, 7, 7), (3, 9, 8), (5, 7, 15), (4, 14, 14)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_are_invertible(size: tuple[int, int, int], shifted: bool) -> None:
    layout = WindowLayout.fit(size, (2, 7, 7), shifted=shifted)
    x = torch.arange(2 * size[0] * size[1] * size[2] * 3.0).reshape(2, *size, 3)
    assert torch.equal(from_windows(to_windows(x, layout), layout), x)


def test_a_window_shrinks_to_the_clip_and_then_is_not_shifted() -> None:
    layout = WindowLayout.fit((1, 9, 7), (2, 7, 7), shifted=True)
    assert layout.window == (1, 7, 7)
    assert layout.shift == (0, 3, 0)
    assert layout.padded == (1, 14, 7)


def test_relative_position_index_is_the_published_one() -> None:
    """The formula stated by parity/make_state.py, cell by cell."""
    wt, wh, ww = 2, 3, 2
    index = relative_position_index((wt, wh, ww))
    cells = [(t, y, x) for t in range(wt) for y in range(wh) for x in range(ww)]
    for i, (t1, y1, x1) in enumerate(cells):
        for j, (t2, y2, x2) in enumerate(cells):
            dt, dy, dx = t1 - t2 + wt - 1, y1 - y2 + wh - 1, x1 - x2 + ww - 1
            assert index[i, j] == (dt * (2 * wh - 1) + dy) * (2 * ww - 1) + dx


def test_the_mask_separates_what_the_shift_brought_together() -> None:
    layout = WindowLayout.fit((2, 14, 7), (2, 7, 7), shifted=True)
    mask = shift_mask(layout)
    assert mask is not None
    rows = torch.arange(14.0)[None, None, :, None, None].expand(1, 2, 14, 7, 1)
    windows = to_windows(rows, layout)[0, ..., 0]
    for window, blocked in zip(windows, mask, strict=True):
        # Rows that are far apart in the clip sit together only through the cyclic shift.
        far = (window[:, None] - window[None, :]).abs() >= 7
        assert torch.equal(blocked == OTHER_REGION, far)


@pytest.mark.parametrize("size", [(1, 3, 4), (3, 9, 8)])
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_equals_a_loop_over_cells(size: tuple[int, int, int], shifted: bool) -> None:
    torch.manual_seed(0)
    attention = WindowAttention3d(6, 4, (2, 7, 7))
    torch.nn.init.normal_(attention.position_bias)
    layout = WindowLayout.fit(size, (2, 7, 7), shifted=shifted)
    local_key, value = torch.randn(1, *size, 6), torch.randn(2, *size, 4)
    with torch.no_grad():
        affinity = attention.affinity(local_key, layout)
        out = torch.cat([attention(affinity, one, layout) for one in value.split(1)])
        windows = attention.key(to_windows(local_key, layout))[0]
        values = attention.value(to_windows(value, layout))
        mask = shift_mask(layout)
        expected = torch.zeros_like(values)
        for n in range(windows.shape[0]):
            for i in range(layout.tokens):
                scores = []
                for j in range(layout.tokens):
                    score = windows[n, i] @ windows[n, j] * 6**-0.5
                    score = score + attention.position_bias[attention.index[i, j]]
                    scores.append(score if mask is None else score + mask[n, i, j])
                weights = torch.stack(scores).softmax(0)
                expected[:, n, i] = torch.einsum("j,bjc->bc", weights, values[:, n])
        expected = from_windows(attention.out(expected), layout)
    assert torch.allclose(out, expected, atol=1e-5)


def test_gradients_pass_where_inference_cut_the_same_windows_before() -> None:
    layout = WindowLayout.fit((3, 8, 5), (2, 7, 7), shifted=True)
    with torch.inference_mode():
        to_windows(torch.zeros(1, 3, 8, 5, 4), layout)
    x = torch.randn(2, 3, 8, 5, 4, requires_grad=True)
    padding = torch.zeros(4, requires_grad=True)
    windows = to_windows(x, layout, padding)
    windows.sum().backward()
    from_windows(windows, layout)
    assert x.grad is not None
    assert padding.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))
    padded = 2 * (windows.shape[1] * windows.shape[2] - 3 * 8 * 5)
    assert torch.equal(padding.grad, torch.full((4,), float(padded)))
