"""Brevo's API v3 at the sandbox."""
