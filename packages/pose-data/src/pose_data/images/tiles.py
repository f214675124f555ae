"""JPEGs that are decoded in part: restart markers make tiles of them that stand alone.

After a restart marker, the data of a JPEG depend on nothing before it. Without chroma subsampling a
block of 8 x 8 pixels does not depend on its neighbours either, so that a JPEG made of some of the
tiles, with a header of its own, decodes to exactly these pixels. The file is a JPEG as any other;
the lengths of its tiles stand in an application segment, so that none need be searched for.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; the last two exclusive

QUALITY = 95
_BLOCK = 8  # pixels
_TILE = 8  # blocks in a row: about as many in a tile
_MOST_TILES = 32_000  # whose lengths fit into one segment
_SEGMENT = struct.Struct(">4sH6sHHH")  # markers, its length, name, columns, header, frame header
_NAME = b"tiles\0"
_FRAME = b"\xff\xc0"


def encode_tiled(image: Image) -> bytes:
    """Encode an image (H, W, 3) BGR as a JPEG of quality 95, full chroma and tiles of 8 rows."""
    blocks = -(-image.shape[1] // _BLOCK)
    columns = max(1, round(blocks / _TILE))
    wide = -(-blocks // columns)  # blocks of a tile; the last column may reach beyond the image
    added = columns * wide * _BLOCK - image.shape[1]
    padded = cv2.copyMakeBorder(image, 0, 0, 0, added, cv2.BORDER_REPLICATE) if added else image
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        *(cv2.IMWRITE_JPEG_RST_INTERVAL, wide),
    ]
    data = cv2.imencode(".jpg", padded, options)[1].tobytes()
    scan = data.index(b"\xff\xda")
    scan += 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    stream = np.frombuffer(data, np.uint8, offset=scan)
    marks = np.flatnonzero(stream[:-1] == 0xFF)
    marks = marks[stream[marks + 1] >= 0xD0]  # restarts, and the end; data have FF 00 alone
    lengths = np.diff(marks, prepend=-2) - 2
    if len(lengths) > _MOST_TILES:
        return data
    size = _SEGMENT.size - 4 + 2 * len(lengths)
    about = columns, scan - 2, data.index(_FRAME) - 2
    segment = _SEGMENT.pack(b"\xff\xd8\xff\xeb", size, _NAME, *about)
    return segment + lengths.astype(">u2").tobytes() + data[2:]


def join_tiles(data: Image, box: Box) -> tuple[Image, tuple[int, int]]:
    """Return a JPEG of the tiles that hold a box, not an empty one, and where they begin (x, y).

    data: the bytes of a JPEG; of one without tiles, all of it is returned. Raises ValueError where
    its tiles are not as it says.
    """
    start = data[: _SEGMENT.size].tobytes()
    if len(start) < _SEGMENT.size or start[6:12] != _NAME:
        return data, (0, 0)
    _, size, _, columns, header, frame = _SEGMENT.unpack(start)
    first = 4 + size  # of the header
    lengths = data[_SEGMENT.size : first].view(">u2").reshape(-1, columns) + np.int64(2)  # (R, C)
    ends = first + header + lengths.cumsum().reshape(lengths.shape)
    if ends[-1, -1] != len(data):
        raise ValueError("the lengths of its tiles are wrong")
    head = bytearray(b"\xff\xd8") + data[first : first + header].tobytes()
    (width,) = struct.unpack_from(">H", head, 2 + frame + 7)
    side = width // columns
    left, top = box[0] // side, box[1] // _BLOCK
    right, bottom = -(-box[2] // side), -(-box[3] // _BLOCK)
    chosen = lengths[top:bottom, left:right]
    struct.pack_into(">HH", head, 2 + frame + 5, chosen.shape[0] * _BLOCK, chosen.shape[1] * side)
    begins = ends[top:bottom, left] - lengths[top:bottom, left]
    rows = zip(begins.tolist(), ends[top:bottom, right - 1].tolist(), strict=True)
    parts = [data[begin:end] for begin, end in rows]
    joined = np.concatenate([np.frombuffer(head, np.uint8), *parts])
    marks = len(head) + chosen.ravel().cumsum() - 1
    joined[marks] = 0xD0 + np.arange(len(marks)) % 8  # restart markers are counted
    joined[-1] = 0xD9  # the end of the image
    return joined, (left * side, top * _BLOCK)
