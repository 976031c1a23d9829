"""Alerts: what people are told when something needs them, once per occurrence, by webhook and e-mail.

Nothing here knows Dagster, and nothing of it runs inside of a run. `defs/alerts.py` reads Dagster's book of runs.
"""
