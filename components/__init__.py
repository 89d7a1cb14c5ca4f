"""The steps of the pipeline, a folder each; nothing is re-exported, since a name would shadow its folder."""
