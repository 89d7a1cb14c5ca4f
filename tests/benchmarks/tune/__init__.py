"""What `recap tune` makes of a drafted config, beside the hand-set one, on real data."""
