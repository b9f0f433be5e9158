"""Pages and text made from results: report, summary, comparison, terminal."""

__all__ = []
