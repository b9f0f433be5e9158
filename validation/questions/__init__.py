"""Questions about a method, answered from replicates: bias, noise, honesty and arrival."""

__all__ = []
