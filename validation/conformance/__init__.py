"""The conformance suite: whether a method keeps the contract."""
