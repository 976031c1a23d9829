"""Clients of the services: HTTP only, no DuckDB."""
