"""Files and Python objects to arrays: how each is read and checked, and what is odd in it."""
