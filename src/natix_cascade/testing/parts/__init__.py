"""How each kind of street object is drawn; :mod:`natix_cascade.testing.sprites` is the way in."""
