"""Object detection: boxes, pooling and losses by known answers."""

from __future__ import annotations

import math

import pytest
import torch

from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.models import boxes
from workloads.models.fasterrcnn import COARSE, FINE, Found, FrozenNorm, detection_loss, detections


def pooled_one_by_one(level: torch.Tensor, box: torch.Tensor, stride: int) -> torch.Tensor:
    """RoIAlign of one box (4,) over one level (C, S, S): every sample by its four neighbours."""
    left, top, right, bottom = (float(edge) / stride for edge in box)
    wide, high = max(right - left, 1.0) / 7, max(bottom - top, 1.0) / 7
    side = level.shape[1]
    out = torch.zeros(len(level), 7, 7)
    for row in range(7):
        for column in range(7):
            for i in range(2):
                for j in range(2):
                    y = min(max(top + (row + (i + 0.5) / 2) * high, 0.0), side - 1.0)
                    x = min(max(left + (column + (j + 0.5) / 2) * wide, 0.0), side - 1.0)
                    y0, x0 = int(y), int(x)
                    y1, x1 = min(y0 + 1, side - 1), min(x0 + 1, side - 1)
                    dy, dx = y - y0, x - x0
                    above = (1 - dx) * level[:, y0, x0] + dx * level[:, y0, x1]
                    below = (1 - dx) * level[:, y1, x0] + dx * level[:, y1, x1]
                    out[:, row, column] += ((1 - dy) * above + dy * below) / 4
    return out


def test_pooling_is_that_of_each_box_on_the_level_of_its_size():
    """From all four levels, over the edges too: 224 pixels read stride 16, half of it stride 8."""
    levels = [torch.randn(2, 3, 512 // stride, 512 // stride) for stride in (4, 8, 16, 32)]
    found = torch.tensor([
        [[3.0, 5, 60, 41], [100, 90, 230, 240], [10, 20, 300, 270], [0, 0, 512, 512], [500, 2, 512, 200]],
        [[0, 0, 2, 2], [401, 0, 512, 111], [1, 300, 240, 512], [20, 30, 490, 512], [7, 7, 9, 300]],
    ])  # fmt: skip
    wanted = []
    for image in range(2):
        for box in found[image]:
            size = math.sqrt(float((box[2:] - box[:2]).prod()))
            level = min(max(math.floor(2 + math.log2(size / 224 + 1e-6)), 0), 3)
            wanted.append(pooled_one_by_one(levels[level][image], box, 4 << level))
    torch.testing.assert_close(boxes.align(levels, found), torch.stack(wanted), rtol=1e-3, atol=1e-4)


def test_anchors_lie_around_every_place_in_three_shapes():
    """Eight strides wide when square; the area is the same within rounding."""
    found = boxes.anchors(64, (32, 64))
    assert found.shape == (3 * (4 + 1), 4)
    assert found[:3].tolist() == [[-181, -91, 181, 91], [-128, -128, 128, 128], [-91, -181, 91, 181]]
    assert (found[3:6] - found[:3]).tolist() == 3 * [[32, 0, 32, 0]]
    assert (found[6:9] - found[:3]).tolist() == 3 * [[0, 32, 0, 32]]
    assert found[-2].tolist() == [-256, -256, 256, 256]


def test_overlap_is_intersection_over_union():
    """Half covered, the same, apart, and touching."""
    one = torch.tensor([[[0.0, 0, 10, 10]]])
    others = torch.tensor([[[5.0, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30], [10, 0, 20, 10]]])
    assert boxes.overlap(one, others)[0, 0].tolist() == pytest.approx([50 / 150, 1, 0, 0])


@pytest.mark.parametrize("weights", [COARSE, FINE])
def test_offsets_lead_back_to_the_box(weights):
    """Decoding what was encoded; a double size is the logarithm of two, by its weight."""
    start = torch.tensor([[10.0, 10, 30, 50], [0, 0, 64, 32]])
    box = torch.tensor([[0.0, 0, 40, 80], [5, 6, 7, 8]])
    offsets = boxes.encode(box, start, weights)
    torch.testing.assert_close(boxes.decode(offsets, start, weights, 100), box)
    expected = [0.0, weights[0] * 10 / 40, weights[1] * math.log(2), weights[1] * math.log(2)]
    assert offsets[0].tolist() == pytest.approx(expected)


def test_decoded_boxes_stay_in_the_image_and_do_not_explode():
    """An offset of any size gives a box that can be encoded again."""
    start = torch.tensor([[10.0, 10, 30, 50]])
    for size in (-1e4, 1e4):
        box = boxes.decode(torch.full((1, 4), size), start, COARSE, 64)
        assert bool(((box >= 0) & (box <= 64)).all())
        assert bool(torch.isfinite(boxes.encode(start, box, COARSE)).all())


def perfect(truth: torch.Tensor, labels: torch.Tensor, anchors: torch.Tensor) -> Found:
    """Say what is true of one image: the best anchors are sure, and every proposal is a true box."""
    common = boxes.overlap(anchors, truth)
    best, which = common.max(2)
    positive = (best >= 0.7).scatter(1, common.argmax(1), value=True)
    offsets = boxes.encode(truth[:, which[0]], anchors, COARSE)
    logits = torch.full((1, truth.shape[1], 5), -50.0).scatter(2, labels[..., None], 50.0)
    moves = torch.zeros(1, truth.shape[1], 5, 4)
    return Found(anchors, torch.where(positive, 50.0, -50.0), offsets, truth, logits, moves)


def test_a_perfect_detector_has_no_loss():
    """And each of the four parts that is wrong shows."""
    truth = torch.tensor([[[4.0, 4, 40, 40], [50, 60, 120, 100]]])
    labels = torch.tensor([[3, 1]])
    found = perfect(truth, labels, boxes.anchors(128, (4, 8, 16, 32, 64)).float()[None])
    assert float(detection_loss(found, truth, labels)) == pytest.approx(0.0, abs=1e-4)
    wrong = {
        "scores": -found.scores, "offsets": found.offsets + 1, "logits": -found.logits,
        "moves": found.moves + 1,
    }  # fmt: skip
    for name, value in wrong.items():
        assert float(detection_loss(found._replace(**{name: value}), truth, labels)) > 0.5


def test_the_best_detections_are_those_of_the_highest_scores():
    """Box, score and class; the background is none."""
    proposals = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 40, 60]]])
    logits = torch.tensor([[[9.0, 2.0, 1.0], [0.0, 1.0, 4.0]]])
    moves = torch.zeros(1, 2, 3, 4)
    moves[0, 1, 2, 0] = 5.0  # half a width to the right, in tenths
    empty = torch.empty(1, 0)
    found = detections(Found(empty, empty, empty, proposals, logits, moves), 2, 64)
    chance = logits.softmax(-1)
    assert found[0, 0].tolist() == pytest.approx([30, 20, 50, 60, float(chance[0, 1, 2]), 2])
    assert found[0, 1].tolist() == pytest.approx([20, 20, 40, 60, float(chance[0, 1, 1]), 1])


def test_true_boxes_are_among_the_proposals_of_training(make):
    """So that the head has something to learn from the first step on."""
    workload = make("fasterrcnn", "train")
    model, batch = workload.build_model(), workload.make_batch(0)
    found = model(batch["images"], 16, batch["boxes"])
    assert torch.equal(found.proposals[:, :4], batch["boxes"])
    assert found.proposals.shape == (2, 16, 4)
    assert not found.proposals.requires_grad


def test_a_frozen_norm_is_batch_norm_in_evaluation():
    """With the same numbers; nothing of it is trained."""
    ours, reference = FrozenNorm(6), torch.nn.BatchNorm2d(6).eval()
    names = {"mean": "running_mean", "variance": "running_var", "weight": "weight", "bias": "bias"}
    for name, other in names.items():
        ours.get_buffer(name).uniform_(0.5, 1.5)
        reference.state_dict()[other].copy_(ours.get_buffer(name))
    x = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(ours(x), reference(x))
    assert not list(ours.parameters())


def test_the_detector_s_loss_falls(make):
    """Forty steps at the workload's own optimizer and rate, over the same four batches."""
    job = prepare(make("fasterrcnn", "train"), Setup())
    for index in range(40):
        job.step(index, lambda _name: None)
    losses = job.losses()
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
