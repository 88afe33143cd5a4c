"""What Dagster runs: thin, over `wiring`, `push` and `contacts`. What is special to a CRM comes from the registry."""
