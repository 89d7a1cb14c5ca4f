"""Tell those who must know how a run ended."""
