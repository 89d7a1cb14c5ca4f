"""Training in several processes: process group, batch norm, sharded embedding tables."""
