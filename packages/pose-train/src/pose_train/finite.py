"""What diverged training leaves, told apart from mistakes of ours: maps with NaN."""

from collections.abc import Iterator
from contextlib import contextmanager

from pose_train.config import RunError


@contextmanager
def finite_maps() -> Iterator[None]:
    """Decode within it: what a codec says of maps with NaN becomes an error of the user's."""
    try:
        yield
    except ValueError as error:
        if "must be finite" not in str(error):
            raise
        raise RunError(
            "the network makes maps with NaN or infinite numbers, though its weights are finite: "
            "its training has diverged (a smaller train.lr), or 16 bits are too few (train.amp, "
            "export --half)"
        ) from error
