"""``python -m natix_cascade``: the command line."""

from natix_cascade.cli import main

main()
