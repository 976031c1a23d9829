"""wallet-pipeline forget: remove one person from everything that the pipeline keeps, and keep them out."""
