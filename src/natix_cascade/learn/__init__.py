"""Learning: from labelled pictures to models, cards and a policy. Needs the `train` extra."""
