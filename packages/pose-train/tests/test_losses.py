"""The losses, on cases small enough to compute by hand, and on maps that overflow if mistreated."""

import math

import pytest
import torch

from pose_train.recipes.bottomup import bottomup_loss, heatmap_mse, tag_losses
from pose_train.recipes.topdown import keypoint_mse


def test_weights_count_once_and_masked_keypoints_stay_in_the_divisor() -> None:
    heatmaps, targets = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    weights = torch.tensor([[0.5, 0.0]])
    assert keypoint_mse(heatmaps, targets, weights).item() == pytest.approx(0.5 * 4 / 8)


def test_pixels_under_the_mask_and_empty_targets_add_nothing() -> None:
    heatmaps, targets = torch.ones(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    targets[0, 0] = 2.0
    mask = torch.ones(1, 1, 2, 2)
    mask[..., 0] = 0
    assert keypoint_mse(heatmaps, targets, mask=mask).item() == pytest.approx(4 / 8)
    assert keypoint_mse(heatmaps, targets, skip_empty=True).item() == pytest.approx(4 / 8)


def test_masked_pixels_of_bottom_up_maps_stay_in_the_divisor() -> None:
    heatmaps, targets = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    targets[0, 0, 0, 0] = 1
    mask = torch.tensor([[[1, 1], [0, 0]], [[1, 1], [1, 1]]])
    assert heatmap_mse(heatmaps, targets, mask).tolist() == [0.25, 1.0]
    assert heatmap_mse(heatmaps, targets, mask > 0, supervise_empty=False).tolist() == [0.25, 0.0]


def people(*persons: list[int], slots: int = 4, keypoints: int = 3) -> torch.Tensor:
    """Return the tag indices (1, slots, keypoints, 2) of persons given as flat positions."""
    indices = torch.zeros(1, slots, keypoints, 2, dtype=torch.int32)
    for p, positions in enumerate(persons):
        for k, position in enumerate(positions):
            indices[0, p, k] = torch.tensor([position, 1])
    return indices


def test_push_and_pull() -> None:
    tags = torch.tensor([0.0, 1.0, 2.0, 3.5]).view(1, 1, 2, 2)
    push, pull = tag_losses(tags, people([0, 2], [3]))
    assert pull.item() == pytest.approx((1 + 0) / 2)  # variances of (0, 2) and of (3.5)
    assert push.item() == pytest.approx(0.5 * math.exp(-(2.5**2)))
    push, _ = tag_losses(tags, people([0, 2], [1]), "max")
    assert push.item() == pytest.approx(0.5)


def test_nobody_and_a_single_person() -> None:
    tags = torch.randn(1, 3, 4, 4, requires_grad=True)
    for indices in (people(), people([7, 20])):
        push, pull = tag_losses(tags, indices)
        assert push.item() == 0
        assert (pull.item() == 0) == (indices.sum() == 0)
        (push + pull).sum().backward()
        assert tags.grad is not None
        assert tags.grad.isfinite().all()


def reference(tags: torch.Tensor, indices: torch.Tensor, distance: str) -> tuple[float, float]:
    """Return push and pull of one image, person by person, as the formulas read."""
    flat = tags.flatten().tolist()
    groups = [[flat[i] for i, counts in person if counts] for person in indices[0].tolist()]
    groups = [group for group in groups if group]
    means = [sum(group) / len(group) for group in groups]
    pull = sum(
        sum((t - mean) ** 2 for t in group) / len(group)
        for group, mean in zip(groups, means, strict=True)
    )
    push = 0.0
    for i, a in enumerate(means):
        for j, b in enumerate(means):
            if i != j:
                push += math.exp(-((a - b) ** 2)) if distance == "exp" else max(0, 1 - abs(a - b))
    count = len(groups)
    return 0.5 * push / (count * (count - 1)), pull / count


@pytest.mark.parametrize("distance", ["exp", "max"])
def test_all_people_at_once_are_the_same_as_one_by_one(distance: str) -> None:
    generator = torch.Generator().manual_seed(0)
    tags = torch.randn(1, 17, 8, 8, generator=generator, dtype=torch.float64)
    indices = torch.randint(0, tags.numel(), (1, 30, 17, 2), generator=generator)
    indices[..., 1] = torch.rand(1, 30, 17, generator=generator) < 0.3
    indices[0, 4, :, 1] = 0
    push, pull = tag_losses(tags, indices, distance)  # type: ignore[arg-type]
    assert (push.item(), pull.item()) == pytest.approx(reference(tags, indices, distance))


# Everything the dtype can hold: the largest values, next to each other and to their opposites; all
# equal; subnormal; and inf and NaN where no keypoint is.
def adversarial_tags(dtype: torch.dtype, largest: float) -> list[torch.Tensor]:
    maps = torch.zeros(1, 3, 4, 4)
    flat = maps.view(-1)
    signs = torch.where(torch.arange(flat.numel()) % 2 == 0, 1.0, -1.0)
    tiny = torch.finfo(dtype).tiny
    cases = [largest * signs, torch.full_like(flat, largest), tiny * signs, 0 * signs]
    cases += [torch.linspace(-largest, largest, flat.numel())]
    hidden = signs.clone()
    hidden[0], hidden[1] = math.inf, math.nan  # unused entries of indices point at 0
    return [case.view_as(maps).to(dtype) for case in [*cases, hidden]]


@pytest.mark.parametrize("distance", ["exp", "max"])
@pytest.mark.parametrize(
    ("dtype", "largest"),
    [(torch.float16, 65504.0), (torch.bfloat16, 1e18), (torch.float32, 1e18)],
)
def test_tag_losses_are_finite_and_float32(
    dtype: torch.dtype, largest: float, distance: str
) -> None:
    indices = people([2, 3, 20], [5, 4], [9], [2, 3, 20])
    for case in adversarial_tags(dtype, largest):
        tags = case.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            push, pull = tag_losses(tags, indices, distance)  # type: ignore[arg-type]
        assert push.dtype == pull.dtype == torch.float32
        exact = tag_losses(tags.detach().double(), indices, distance)  # type: ignore[arg-type]
        torch.testing.assert_close(push.double(), exact[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(pull.double(), exact[1], rtol=1e-5, atol=1e-6)
        (0.001 * push + 0.001 * pull).sum().backward()
        assert tags.grad is not None
        assert tags.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_heatmap_losses_are_computed_in_float32(dtype: torch.dtype) -> None:
    heatmaps = torch.full((1, 2, 4, 4), 300.0, dtype=dtype)  # 300 squared is beyond float16
    targets, mask = torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4)
    assert heatmap_mse(heatmaps, targets, mask).item() == pytest.approx(90000)
    assert keypoint_mse(heatmaps, targets.to(dtype)).item() == pytest.approx(90000)


def test_stages_are_summed() -> None:
    maps, tags = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    targets, mask, indices = torch.rand(2, 3, 4, 4), torch.ones(2, 4, 4), people([1, 20], [4])
    indices = indices.expand(2, -1, -1, -1)
    one = bottomup_loss([maps], [tags], [targets], [mask], [indices])
    two = bottomup_loss([maps] * 2, [tags] * 2, [targets] * 2, [mask] * 2, [indices] * 2)
    coarse_tags = bottomup_loss([maps] * 2, [tags], [targets] * 2, [mask] * 2, [indices] * 2)
    for part in ("heatmap", "push", "pull", "total"):
        assert getattr(two, part).item() == pytest.approx(2 * getattr(one, part).item())
    assert coarse_tags.pull.item() == pytest.approx(one.pull.item())


def test_stages_that_do_not_fit_are_errors() -> None:
    maps, mask, indices = torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4), people()
    with pytest.raises(ValueError, match="every stage needs heatmaps, targets and a mask, got 2"):
        bottomup_loss([maps] * 2, [maps], [maps], [mask], [indices])
    with pytest.raises(ValueError, match="a network without tags is top-down"):
        bottomup_loss([maps], [], [maps], [mask], [indices])
