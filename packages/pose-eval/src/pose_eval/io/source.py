"""Read the bytes of a file given as a path, as bytes or opened, and parse JSON."""

import json
import os
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pose_eval.coco.tables import ResultsError

# A path ("-" is the standard input), the bytes of a file, an open file, or the content itself.
Source = str | os.PathLike[str] | bytes | IO[Any] | Sequence[Any] | Mapping[str, Any]
BLANK = b" \t\r\n\0"
DUPLICATE = "\0duplicate"
MOST_DEFLATED = 200  # times its own size that a gzip file may unpack to; JSON has about 10
SMALL = 64 << 20  # bytes; what unpacks to less may do so from any size


def is_content(source: Any) -> bool:
    """Tell whether a source is content already, not a file to be read."""
    as_file = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
    return not (as_file or hasattr(source, "read"))


def name_of(source: Any, otherwise: str) -> str:
    """Return a short name of a source for messages."""
    if isinstance(source, str | os.PathLike):
        return "stdin" if str(source) == "-" else Path(source).name
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else otherwise


def read_bytes(source: Any, name: str) -> bytes:
    """Return the bytes of a source, unpacked and without a byte order mark.

    Raises ResultsError where there is nothing to read.
    """
    content: Any = source
    if isinstance(source, str | os.PathLike):
        content = sys.stdin.buffer.read() if str(source) == "-" else _read_file(Path(source))
    elif hasattr(source, "read"):
        content = source.read()
    data = content.encode() if isinstance(content, str) else bytes(content)
    if data[:2] == b"\x1f\x8b":
        try:
            data = _unpacked(data, name)
        except (EOFError, zlib.error) as error:
            raise ResultsError(f"{name} is a damaged or truncated gzip file: {error}") from None
    if other := foreign_bytes(data[:8]):
        raise ResultsError(f"{name} {other}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, as PowerShell's > writes it
        data = decoded(data, name, "utf-16").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data[:4096].strip(BLANK) and not data.strip(BLANK):
        raise ResultsError(f"{name} is empty ({len(data)} bytes)")
    return data


def _unpacked(data: bytes, name: str) -> bytes:
    """Unpack a gzip file, of one or several in one; a few bytes of it can stand for gigabytes."""
    left, parts = max(SMALL, MOST_DEFLATED * len(data)), []
    while data:
        unpacker = zlib.decompressobj(31)  # gzip
        parts.append(unpacker.decompress(data, left))
        left -= len(parts[-1])
        if left < 1 or unpacker.unconsumed_tail:
            raise ResultsError(
                f"{name} unpacks to more than {MOST_DEFLATED} times its own size, as no JSON does"
            )
        if not unpacker.eof:
            raise EOFError("it ends in the middle of the data")
        data = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)


def decoded(data: bytes, name: str, encoding: str = "utf-8") -> str:
    """Return the data as text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ResultsError(f"{name} is not UTF-8 text: {error}") from None


def parse_json(data: bytes, name: str) -> Any:
    """Return the content of a JSON file; an object with a key twice gets the key DUPLICATE."""
    return parse_text(decoded(data, name), name)


def parse_text(text: str, name: str) -> Any:
    """Return the content of JSON text; raises ResultsError that says where it breaks off."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ResultsError(f"{name} is nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        begins = text.lstrip()[:1] in ("[", "{")
        if other := foreign_text(text):
            raise ResultsError(f"{name} {other}") from None
        if error.msg == "Extra data" and begins:
            raise ResultsError(
                f"{name} is not JSON: a second value or other text follows the first, from line "
                f"{error.lineno}, column {error.colno} on"
            ) from None
        cut = begins and text.rstrip()[-1:] not in ("]", "}")
        hint = "; the file seems to be cut off" if cut else ""
        raise ResultsError(f"{name} is not JSON: {error}{hint}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise ResultsError(f"{name} cannot be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        content[DUPLICATE] = next(key for key in keys if keys.count(key) > 1)
    return content


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise ResultsError(f"cannot read {path}: it is a folder, not a file") from None
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # a path with a zero byte
        raise ResultsError(f"cannot read {str(path)!r}: {error}") from None


CONVERT = "`pose-data convert` makes a COCO file of it"


def foreign_bytes(head: bytes) -> str:
    """Return what kind of binary file this is, "" if it may be JSON."""
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive; unpack it and give the JSON file in it"
    if head.startswith(b"\x89HDF"):
        return f"is an HDF5 file, such as DeepLabCut writes; {CONVERT}"
    return ""


def foreign_text(text: str) -> str:
    """Return what kind of text this is instead of JSON, "" if that is unknown."""
    head = text[:4096].lstrip()
    if head.startswith("<"):
        kind = "a CVAT XML file" if "<annotations" in head else "XML or HTML"
        return f"is {kind}, not JSON" + (f"; {CONVERT}" if "<annotations" in head else "")
    if head.startswith("scorer,"):
        return f"is a CSV file of DeepLabCut; {CONVERT}"
    first = head.splitlines()[0] if head else ""
    if re.fullmatch(r"\d+(\s+-?(\d+(\.\d*)?|\.\d+)(e-?\d+)?){4,}\s*", first):
        return f"holds lines of numbers, as YOLO's label files do; {CONVERT}"
    return ""


def foreign_object(content: Mapping[Any, Any]) -> str:
    """Return what a JSON object is instead of COCO or a row of results, "" if unknown."""
    keys = set(content)
    if "shapes" in keys and keys & {"version", "flags", "imagePath"}:
        return f"is a LabelMe file of one image; {CONVERT}"
    people = content.get("people")
    first = people[0] if isinstance(people, list) and people else {"pose_keypoints_2d": []}
    if isinstance(people, list) and isinstance(first, dict) and "pose_keypoints_2d" in first:
        return (
            "is an OpenPose file of one image; results are a list of rows with image_id, "
            "category_id, keypoints and score"
        )
    if "annotations" in keys and "images" not in keys and keys & {"item", "dataset", "image"}:
        return "is a V7 Darwin file of one image; COCO has all images in one file"
    return ""
