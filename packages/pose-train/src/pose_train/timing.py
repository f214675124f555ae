"""How long an evaluation takes for each picture, to show which ones slow it down."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_train.ranks import Ranks, gather


@dataclass
class Timing:
    """Seconds by image id, of this process.

    Without those of the first batch: it takes longer than others, because kernels are chosen and
    compiled.
    """

    seconds: dict[int, float] = field(default_factory=dict)

    def add(self, image_id: int, seconds: float) -> None:
        """Add seconds to those of a picture; NaN (not measured) adds nothing."""
        if not math.isnan(seconds):
            self.seconds[image_id] = self.seconds.get(image_id, 0.0) + seconds

    def shares(
        self, batches: Iterable[dict[str, Any]], image_ids: NDArray[np.int64]
    ) -> Iterator[dict[str, Any]]:
        """Yield batches, and note how long each was worked on, in equal shares of its samples.

        image_ids (N,): the picture of each sample of the dataset.
        """
        for number, batch in enumerate(batches):
            began = time.perf_counter()
            yield batch
            share = (time.perf_counter() - began) / len(batch["index"])
            if number:
                for image_id in image_ids[batch["index"].numpy()].tolist():
                    self.add(image_id, share)

    def of_all(self, ranks: Ranks) -> dict[int, float]:
        """Return the seconds of all processes, to every one of them."""
        merged = Timing()
        for part in gather(self.seconds, ranks):
            for image_id, seconds in part.items():
                merged.add(image_id, seconds)
        return merged.seconds
