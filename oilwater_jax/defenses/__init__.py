"""Defences that eliminate training samples, as selectors."""
