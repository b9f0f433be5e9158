"""Files: data stores, background models and regions, each in the order of axes that we use."""

__all__ = []
