"""What a run shows: its page, the curves and images of the page, and the published numbers."""
