"""Tests of `crm_pipeline.alerts`."""
