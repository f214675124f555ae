"""OpenCV, imported when something of it is first used: `from pose_data.opencv import cv2`.

Annotations are read, checked and converted without it. Where a library that it needs is missing, as
on servers and in small containers, whoever needs pixels is told what to install.
"""

from typing import TYPE_CHECKING, Any

_HEADLESS = "pip uninstall -y opencv-python && pip install opencv-python-headless"
_WAYS = (
    "Either install the libraries (Debian, Ubuntu: `apt-get install libgl1 libglib2.0-0`), "
    f"or put the wheel that needs none in its place: `{_HEADLESS}`"
)


class _OpenCV:
    def __getattr__(self, name: str) -> Any:
        """Return what cv2 calls so; raises ImportError with one sentence on what to install."""
        try:
            import cv2
        except ModuleNotFoundError as error:
            if error.name != "cv2":
                raise
            text = "OpenCV is not installed: `pip install opencv-python`, or on servers -headless"
            raise ModuleNotFoundError(text, name="cv2") from error
        except ImportError as error:
            reason = str(error).splitlines()[0]
            raise ImportError(f"OpenCV cannot be loaded: {reason}. {_WAYS}", name="cv2") from error
        value = self.__dict__[name] = getattr(cv2, name)  # found there from now on
        return value


if TYPE_CHECKING:
    import cv2 as cv2  # for type checkers
else:
    cv2 = _OpenCV()
