"""Prompts drawn as maps, windows, and masks pasted back, whatever the network says."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.build import build_prompt_segmenter
from model.config import LITE_PROMPT
from model.inference.prompt import PromptPredictor
from model.network.prompt import CLICK_SIGMA, ImageFeatures, draw_prompts
from model.ops.zoom import MAX_STRETCH, Window, zoom, zoom_window


class Echo(nn.Module):
    """Stands in for the network: says that the object is what one of the prompt maps shows."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel
        self.encoded = 0

    def encode_image(self, crops: Tensor) -> ImageFeatures:
        self.encoded += 1
        return ImageFeatures(crops, crops, crops)

    def forward(self, image: ImageFeatures, prompts: Tensor) -> Tensor:
        return prompts[:, self.channel : self.channel + 1] - 0.5


def predictor(channel: int, size: tuple[int, int] = (300, 400)) -> PromptPredictor:
    made = PromptPredictor(Echo(channel), size=320)  # type: ignore[arg-type]
    made.set_image(np.zeros((*size, 3), np.uint8))
    return made


def test_prompts_are_drawn_as_a_literal_loop_draws_them() -> None:
    boxes = torch.tensor([[5.0, 9.0, 22.0, 30.5], [0, 0, 0, 0]])
    clicks = torch.tensor([[[6.5, 20.5, 1], [25.0, 4.0, -1]], [[3.0, 3.0, 1], [9.0, 9.0, 0]]])
    previous = torch.rand(2, 1, 8, 8)
    drawn = draw_prompts(boxes, clicks, previous)
    assert drawn.shape == (2, 4, 8, 8)
    for b in range(2):
        left, top, right, bottom = boxes[b].tolist()
        for row in range(8):
            for column in range(8):
                # Sixteenths of pixels count how much of a cell a box covers.
                inside = [
                    left <= 4 * column + (i + 0.5) / 16 < right
                    and top <= 4 * row + (j + 0.5) / 16 < bottom
                    for i in range(64)
                    for j in range(64)
                ]
                assert drawn[b, 0, row, column] == pytest.approx(np.mean(inside), abs=1e-5)
                for channel, side in ((1, 1), (2, -1)):
                    spots = [
                        math.exp(
                            -((4 * column + 2 - x) ** 2 + (4 * row + 2 - y) ** 2)
                            / (2 * CLICK_SIGMA**2)
                        )
                        for x, y, s in clicks[b].tolist()
                        if s == side
                    ]
                    expected = pytest.approx(max(spots, default=0), abs=1e-6)
                    assert drawn[b, channel, row, column] == expected
    assert torch.equal(drawn[:, 3:], previous)


def test_the_network_gives_a_logit_a_cell_and_crops_do_not_mix() -> None:
    torch.manual_seed(0)
    model = build_prompt_segmenter(LITE_PROMPT)
    nn.init.ones_(model.pred.weight)  # Untrained, it is 0.
    crops, maps = torch.randn(2, 3, 64, 96), torch.rand(2, 4, 16, 24)
    with torch.inference_mode():
        logits = model(model.encode_image(crops), maps)
        alone = model(model.encode_image(crops[1:]), maps[1:])
    assert logits.shape == (2, 1, 16, 24)
    torch.testing.assert_close(logits[1:], alone, rtol=1e-4, atol=1e-4)


def test_only_the_trunk_stays_as_it_is_in_training() -> None:
    model = build_prompt_segmenter(LITE_PROMPT).train()
    nn.init.ones_(model.pred.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(model.encode_image(torch.randn(2, 3, 64, 64)), torch.rand(2, 4, 16, 16)).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("trunk."), name
    # The norms keep the statistics of ImageNet.
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    ("box", "margin"),
    [((100, 80, 180, 200), 1.4), ((0, 0, 400, 300), 1.4), ((380, 10, 400, 20), 1.4),
     ((50, 150, 350, 160), 1.2), ((7.5, 7.5, 7.5, 7.5), 1.0)],
)  # fmt: skip
def test_a_window_holds_its_box_lies_inside_and_is_not_stretched_much(
    box: tuple[float, float, float, float], margin: float
) -> None:
    window = zoom_window(box, (300, 400), margin=margin)
    assert 0 <= window.left <= box[0]
    assert 0 <= window.top <= box[1]
    assert box[2] <= window.right <= 400
    assert box[3] <= window.bottom <= 300
    height, width = window.size
    assert min(height, width) >= 16
    if height < 300 and width < 400:
        # A pixel more for rounding to whole ones.
        assert max(height, width) <= MAX_STRETCH * (min(height, width) + 1)


def test_zooming_keeps_places() -> None:
    picture = np.zeros((100, 120), np.uint8)
    picture[40:60, 30:70] = 255
    for size in ((64, 64), (320, 256)):
        seen = zoom(picture, Window(20, 30, 80, 70), size) > 127
        rows, columns = np.nonzero(seen)
        expected = np.array([10 / 40, 30 / 40, 10 / 60, 50 / 60])
        found = np.array(
            [rows.min() / size[0], (rows.max() + 1) / size[0],
             columns.min() / size[1], (columns.max() + 1) / size[1]]
        )  # fmt: skip
        assert np.abs(found - expected).max() < 1.5 / min(size)


def test_a_box_is_pasted_back_where_it_was() -> None:
    expected = np.zeros((300, 400), bool)
    expected[60:180, 150:210] = True
    mask = predictor(0).predict(box=(150, 60, 60, 120))
    assert mask.shape == expected.shape
    assert mask.dtype == bool
    assert (mask & expected).sum() / (mask | expected).sum() > 0.95


def test_a_last_mask_is_pasted_back_where_it_was() -> None:
    previous = np.zeros((300, 400), bool)
    previous[200:290, 20:120] = True
    mask = predictor(3).predict(clicks=[(60, 250, True)], previous=previous)
    assert (mask & previous).sum() / (mask | previous).sum() > 0.95


@pytest.mark.parametrize(("positive", "channel"), [(True, 1), (False, 2)])
def test_clicks_are_seen_where_they_are(positive: bool, channel: int) -> None:
    mask = predictor(channel).predict(box=(100, 100, 90, 90), clicks=[(120.0, 170.0, positive)])
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - 170) < 1.5
    assert abs(columns.mean() - 120) < 1.5


def test_further_clicks_look_at_the_picture_only_once() -> None:
    made = predictor(0)
    mask = made.predict(box=(100, 100, 90, 90))
    made.predict(box=(100, 100, 90, 90), clicks=[(120, 170, True)])
    assert made.model.encoded == 1  # type: ignore[attr-defined]
    made.set_image(np.ones((300, 400, 3), np.uint8))
    again = made.predict(box=(100, 100, 90, 90))
    assert made.model.encoded == 2  # type: ignore[attr-defined]
    assert np.array_equal(mask, again)


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="set_image"):
        PromptPredictor(Echo(0)).predict(box=(1, 1, 5, 5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="where the object is"):
        predictor(0).predict(clicks=[(5, 5, False)])
    with pytest.raises(ValueError, match="where the object is"):
        predictor(0).predict(previous=np.zeros((300, 400), bool))
