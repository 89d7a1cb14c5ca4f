"""Register a run's model as a version of MLflow's registry, with its lineage and a proof that it loads."""
