"""Customer wallet status -> CRM: plan what differs, write it, read it back."""
