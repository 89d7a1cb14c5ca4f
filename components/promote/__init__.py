"""Obey the decision: move the alias champion, or say why not."""
