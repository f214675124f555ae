"""Pages and images for people to look at: what draws, and the frame of the pages."""
