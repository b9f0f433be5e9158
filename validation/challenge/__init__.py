"""Blind challenges: stores whose truth nobody knows, and a sealed answer."""

__all__ = []
