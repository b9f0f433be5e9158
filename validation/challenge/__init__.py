"""The blind challenge: truths drawn at random, sealed answers, and scores."""

__all__ = []
