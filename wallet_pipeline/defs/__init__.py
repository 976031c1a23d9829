"""Everything that knows Dagster, a file a stage."""
