"""The texts of the collection's `sql/`."""

from functools import partial

from wallet_pipeline.warehouse.queries import read_query

query = partial(read_query, "wallet_pipeline.collect")
