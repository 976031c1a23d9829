"""Collect evidence: from the services into `raw.*`."""
