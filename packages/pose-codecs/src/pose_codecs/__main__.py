"""The command line: python -m pose_codecs warmup, for the build of an image of containers."""

import argparse


def warmup() -> None:
    """Compile all kernels, or load them from the cache.

    Without it a kernel is compiled when it is first needed, which takes seconds. Call it before
    workers are forked or a request is timed.
    """
    import numpy as np

    from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap, assign, find_candidates
    from pose_codecs._jit import compile_from_now_on

    compile_from_now_on()
    points, visible = np.full((2, 1, 2), 16.0), np.ones((2, 1))
    sizes = (32, 32), (16, 16)
    assign([[0.0]])
    assign([[0.0]], "optimal")
    heatmaps, _ = MSRAHeatmap(*sizes).encode(points, visible)
    MSRAHeatmap(*sizes, unbiased=True).encode(points, visible)
    MSRAHeatmap(*sizes).decode(heatmaps)
    MSRAHeatmap(*sizes, refine="dark").decode(heatmaps)
    UDPHeatmap(*sizes).encode(points, visible)
    UDPHeatmap(*sizes).decode(heatmaps)
    two = np.concatenate([heatmaps[0], 0 * heatmaps[0]])  # the second keypoint is missing
    for assignment in ("munkres", "optimal"):
        people = AssociativeEmbedding(sizes[0], [sizes[1]], assignment=assignment)
        people.encode(points, visible)
        people.decode(two, np.zeros((2, 16, 16, 2)))
    find_candidates(two, np.zeros((2, 16, 16)))  # equal values have kernels of their own


def main(arguments: list[str] | None = None) -> int:
    """Run the one command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m pose_codecs", description="Compile ahead.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "warmup", help="compile all kernels into numba's cache (NUMBA_CACHE_DIR says where)"
    )
    parser.parse_args(arguments)
    warmup()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
