"""The one error type of this package."""


class DatasetError(ValueError):
    """Annotations or pictures that cannot be used; the message names the file and the record."""
