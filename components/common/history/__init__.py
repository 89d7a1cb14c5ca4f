"""The history of a model as one page: versions, decisions, metrics, watched days, promotions, costs."""

from components.common.history.page import history_page, write_history
from components.common.history.read import History, Move, VersionHistory, read_history

__all__ = ["History", "Move", "VersionHistory", "history_page", "read_history", "write_history"]
