"""What a cascade is: cards, cascades and policies as validated, frozen objects."""
