"""Derive what is true from the evidence: `raw.*` into `wallet.*` and `adoption.*`. SQL over sets; no HTTP."""
