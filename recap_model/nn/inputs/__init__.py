"""From a batch's groups to the network's inputs: featurization and embeddings."""
