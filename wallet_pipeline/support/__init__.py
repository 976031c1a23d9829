"""What people ask about the pipeline from outside: no stage needs it, and it needs no Dagster."""
