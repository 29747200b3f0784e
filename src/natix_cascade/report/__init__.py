"""What was measured, on which pictures, with which interval; and pictures that explain a verdict."""
