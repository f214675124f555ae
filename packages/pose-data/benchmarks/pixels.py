"""Time the changes of pixels of one 192x256 crop, beside plain versions of the two slow ones.

    python pixels.py

Prints Markdown. Times are CPU time, the least of several rounds.
"""

import platform
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from pose_data.images.decode import start_worker
from pose_data.samples.pixels import (
    PIXELS,
    PixelParams,
    change_pixels,
    sample_pixels,
)

COLOUR = (("hue", 0.1), ("contrast", 1.1), ("brightness", 1.1), ("saturation", 1.2))


def microseconds(call: Callable[[], Any], times: int = 50, rounds: int = 15) -> float:
    """Return the CPU time of a call, the least mean of several rounds."""
    best = np.inf
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            call()
        best = min(best, (time.process_time() - started) / times)
    return best * 1e6


def main() -> None:
    start_worker()
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (16, 12, 3), np.uint8)
    image = cv2.resize(small, (192, 256), interpolation=cv2.INTER_CUBIC)
    changes = {
        **{f"colour, {name} alone": PixelParams(colour=((name, by),)) for name, by in COLOUR},
        "colour, all four": PixelParams(colour=COLOUR),
        "blur, sigma 0.5": PixelParams(blur=(3, 0.5)),
        "blur, sigma 1.5": PixelParams(blur=(11, 1.5)),
        "blur, sigma 3": PixelParams(blur=(21, 3.0)),
        "noise": PixelParams(noise=(25.0, 1)),
        "erase, three boxes": PixelParams(holes=((0.1, 0.1, 0.2, 0.2),) * 3),
        "nothing": PixelParams(),
    }
    settings: dict[str, Any] = {name: cls() for name, cls in PIXELS.items()}
    calls: dict[str, Callable[[], Any]] = {
        name: lambda params=params: change_pixels(image, params) for name, params in changes.items()
    }
    calls |= {
        "drawing the parameters of all": lambda: sample_pixels(rng, **settings),
        "plain: cv2.GaussianBlur, sigma 3": lambda: cv2.GaussianBlur(image, (21, 21), 3),
        "plain: standard_normal": lambda: np.clip(
            np.rint(image + 25 * rng.standard_normal(image.shape, np.float32)), 0, 255
        ).astype(np.uint8),
    }
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}.\n"
    )
    print("| 192x256 | microseconds |\n|---|---|")
    for name, call in calls.items():
        print(f"| {name} | {microseconds(call):.0f} |")


if __name__ == "__main__":
    main()
