"""A picture's way through the levels: one at a time, many at once, and what happens on the way."""
