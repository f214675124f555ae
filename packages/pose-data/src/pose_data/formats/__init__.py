"""Files of annotations and boxes, one file per format, and what they share in reading JSON."""
