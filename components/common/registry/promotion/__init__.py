"""Move the champion, record the move, and take it back."""
