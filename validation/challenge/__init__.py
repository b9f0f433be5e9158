"""Blind challenges: stores of truths that nobody knows, and the scores of the models."""
