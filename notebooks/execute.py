"""Execute the notebooks and keep what they show: ./run notebooks [FILE ...]."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
MOST_BYTES = 300_000


def main(names: list[str]) -> None:
    """Execute notebooks, all of them if none is named; a file is replaced when it is done."""
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, kernel_name="python3", timeout=600, record_timing=False, coalesce_streams=True
        ).execute()
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        text = nbformat.writes(notebook)
        if len(text) > MOST_BYTES:
            raise SystemExit(f"{path} would have {len(text)} bytes, at most {MOST_BYTES} are kept")
        done = path.with_suffix(".tmp")
        done.write_text(text + "\n", encoding="utf-8")
        done.replace(path)
        print(f"{path}: {len(text)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
