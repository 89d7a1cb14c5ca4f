"""How a step's process runs: entry point, atomic output, process pools, images, webhooks."""
