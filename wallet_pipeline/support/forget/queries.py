"""The texts of `sql/` that name what belongs to a person."""

from functools import partial

from wallet_pipeline.warehouse.queries import read_query

query = partial(read_query, "wallet_pipeline.support.forget")
