"""Numbers in words, for people to read."""


def counted(number: int, name: str) -> str:
    """Return a number of things that take an s: 1 keypoint, 2 keypoints."""
    return f"{number} {name}{'s' * (number != 1)}"
