"""The numbers of COCO from arrays: matching, curves, AP and AR, and what they are kept in."""
