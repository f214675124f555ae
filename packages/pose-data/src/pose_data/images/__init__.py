"""Image files: headers, decoding, warping. Nothing here knows of annotations."""
