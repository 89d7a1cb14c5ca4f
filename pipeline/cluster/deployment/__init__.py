"""The champion behind a serving endpoint of KServe: its InferenceService, and its rollout in stages."""
