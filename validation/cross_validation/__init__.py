"""cross_validation."""
