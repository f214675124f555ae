"""Push and pull losses of a batch: all people at once against person by person, forward and back.

    python packages/pose-train/benchmarks/tag_losses.py

Batch and sizes of HigherHRNet at 512x512; with people as in COCO's pictures (3 each) and crowded.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from pose_train.recipes.bottomup import tag_losses


def person_by_person(tags: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute tag_losses the way the formulas read: loops over pictures and people."""
    pushes, pulls = [], []
    for flat, people in zip(tags.flatten(1), indices, strict=True):
        means, pull = [], flat.new_zeros(())
        for entries in people:
            found = flat[entries[entries[:, 1] > 0, 0].long()]
            if len(found):
                means.append(found.mean())
                pull = pull + (found - means[-1]).square().mean()
        push = flat.new_zeros(())
        if len(means) > 1:
            centers = torch.stack(means)
            close = torch.exp(-(centers[:, None] - centers[None]).square())
            push = 0.5 * (close.sum() - len(means)) / (len(means) * (len(means) - 1))
        pushes.append(push)
        pulls.append(pull / max(1, len(means)))
    return torch.stack(pushes), torch.stack(pulls)


def sample(batch: int, people: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw tags (B, 17, size, size) and indices (B, 30, 17, 2) of so many people with 12 joints."""
    generator = torch.Generator().manual_seed(0)
    tags = torch.randn(batch, 17, size, size, generator=generator, requires_grad=True)
    indices = torch.zeros(batch, 30, 17, 2, dtype=torch.int32)
    places = torch.randint(0, 17 * size * size, (batch, people, 12), generator=generator)
    indices[:, :people, :12, 0] = places.int()
    indices[:, :people, :12, 1] = 1
    return tags, indices


def seconds(compute: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], *args: Tensor) -> float:
    """Time a forward and a backward pass."""
    start = time.perf_counter()
    push, pull = compute(*args)
    (push + pull).sum().backward()
    return time.perf_counter() - start


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| batch | people | loops, ms | at once, ms | ratio |\n|---|---|---|---|---|")
    for batch, people in ((24, 3), (24, 30)):
        args = sample(batch, people, 128)
        for ours, theirs in zip(tag_losses(*args), person_by_person(*args), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        pairs = [
            (seconds(person_by_person, *args), seconds(tag_losses, *args)) for _ in range(rounds)
        ]
        loops, ours = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {batch} | {people} | {loops:.2f} | {ours:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
