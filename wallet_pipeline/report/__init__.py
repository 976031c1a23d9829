"""The page for marketers: tables of `adoption.*` and the customers as charts and numbers, in one HTML file."""
