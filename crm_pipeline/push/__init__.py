"""Pushing: a batch is claimed, sent at the gate's pace and journalled. The same code for Dagster and CLI."""
