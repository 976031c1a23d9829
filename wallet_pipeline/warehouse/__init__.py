"""The DuckDB warehouse: opening it, its schema, its published copy. No HTTP."""
