"""Whom to tell, and what, when something turns bad or is well again."""
