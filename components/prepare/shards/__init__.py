"""The files of the sets: which row goes to which, and how one is written."""
