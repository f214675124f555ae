"""What a network is trained and tested on: one file per recipe, and the geometry it needs."""
