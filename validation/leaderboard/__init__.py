"""The leaderboard: scores of methods, and their ranking."""

__all__ = []
