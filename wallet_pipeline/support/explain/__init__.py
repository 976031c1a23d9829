"""Explain: why a customer has the status they have, and what the CRM was told; as of now, or of any moment before."""
