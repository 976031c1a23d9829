"""Wallet status of every customer, from The Wallet Crew into the CRM, verified."""
