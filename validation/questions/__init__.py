"""Questions about a method: bias, noise, honesty and arrival, answered from replicates."""

__all__ = []
