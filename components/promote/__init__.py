"""Apply the decision: move the alias champion, or report why not."""
