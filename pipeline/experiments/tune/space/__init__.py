"""The search space: settings of a config by their field paths, each with what is tried of it."""
