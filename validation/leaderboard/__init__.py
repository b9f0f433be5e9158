"""The leaderboard: score, rank and table of all methods."""

__all__ = []
