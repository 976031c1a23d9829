"""Deliveries of webhooks and the connector: received into the inbox, and understood when they are taken over."""
