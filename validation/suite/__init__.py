"""The suite: every scenario with every method, judged by criteria."""

__all__ = []
