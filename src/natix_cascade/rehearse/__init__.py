"""A dress rehearsal: the whole cascade with every true architecture at a tiny size."""
