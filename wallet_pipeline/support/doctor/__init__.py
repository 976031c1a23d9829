"""The doctor: looks at all that a user would have to look up when something is wrong, and says what to do."""
