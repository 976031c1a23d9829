"""The list of passes as the Pass API pages through it: sorted, filtered, cut into pages."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wallet_pipeline.sandbox.world import World

_SORT_FIELDS = {
    "id": "id",
    "passType": "pass_type",
    "creationDate": "created_at",
    "lastUpdateDate": "updated_at",
    "apple": "apple_at",
    "google": "google_at",
}
_INSTALLED_IN = "concat_ws(',', if(apple_at IS NOT NULL, 'apple', NULL), if(google_at IS NOT NULL, 'google', NULL))"
_FILTER_FIELDS = {"passType": "pass_type", "installationStatus": _INSTALLED_IN}
_OPERATORS = {"equals": "{} = ?", "contains": "contains({}, ?)"}
_DIRECTIONS = {"ASC", "DESC"}
_PARAMETER = re.compile(r"(sortBy|filter)\[(\d+)\]\.(field|direction|operator|value)")
_MAP_FIELD = re.compile(r"(identifiers|metadata)\.(.+)", re.DOTALL)
_KEPT_ORDERS = 8
# Rows that lie together are read by their range, which costs a twentieth of looking each one up.
_RANGE_WASTE = 20

Clause = tuple[str, tuple[str, ...]]


class InvalidQueryError(ValueError):
    """Query parameters that the Pass API refuses; `errors` has the texts per parameter."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("One or more validation errors occurred.")
        self.errors = errors


@dataclass(frozen=True)
class Query:
    """Which passes in which order: SQL expressions with the values bound to them."""

    filters: tuple[Clause, ...] = ()
    orders: tuple[Clause, ...] = ()

    def sql(self) -> str:
        """Return the SELECT of the row ids."""
        where = " AND ".join(sql for sql, _ in self.filters) or "true"
        order = ", ".join([*(sql for sql, _ in self.orders), "id"])
        return f"SELECT rowid FROM backstage.passes WHERE {where} ORDER BY {order}"

    def values(self) -> list[str]:
        """Return the bound values in the order of the SQL."""
        return [value for _, values in (*self.filters, *self.orders) for value in values]

    @property
    def first_order(self) -> tuple[str, bool]:
        """The column that decides first, and whether it descends."""
        column, _, direction = (self.orders[0][0] if self.orders else "id ASC").partition(" ")
        return column, direction.startswith("DESC")


@dataclass(frozen=True)
class Page:
    """The bodies of the passes of one page, and how many passes the whole list has."""

    bodies: list[str]
    total: int


def parse_query(parameters: Iterable[tuple[str, str]]) -> Query:
    """Return the query of `sortBy[i].*` and `filter[i].*`, or raise InvalidQueryError. Other parameters are ignored."""
    sorts: dict[int, dict[str, str]] = {}
    filters: dict[int, dict[str, str]] = {}
    for name, value in parameters:
        if match := _PARAMETER.fullmatch(name):
            group = sorts if match[1] == "sortBy" else filters
            group.setdefault(int(match[2]), {})[match[3]] = value
    return Query(
        filters=tuple(_filter(number, filters[number]) for number in sorted(filters)),
        orders=tuple(_order(number, sorts[number]) for number in sorted(sorts)),
    )


class Listing:
    """Pages of the world's passes. An order is worked out once and kept until the world changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._orders: dict[Query, NDArray[np.int64]] = {}
        self._version = world.version

    def page(self, query: Query, index: int, size: int) -> Page:
        """Return one page, empty beyond the end."""
        rows = self._rows(query)
        return Page(self._bodies(rows[index * size : (index + 1) * size]), len(rows))

    def id_at(self, query: Query, place: int) -> str:
        """Return the id of the pass at a place of the list."""
        row = int(self._rows(query)[place])
        ((pass_id,),) = self._world.connection.execute(
            "SELECT id FROM backstage.passes WHERE rowid = ?", [row]
        ).fetchall()
        return str(pass_id)

    def _rows(self, query: Query) -> NDArray[np.int64]:
        if self._version != self._world.version or len(self._orders) > _KEPT_ORDERS:
            self._orders.clear()
            self._version = self._world.version
        if query not in self._orders:
            found = self._world.connection.execute(query.sql(), query.values()).fetchnumpy()
            self._orders[query] = np.asarray(found["rowid"], dtype=np.int64)
        return self._orders[query]

    def _bodies(self, rows: NDArray[np.int64]) -> list[str]:
        if not len(rows):
            return []
        first, last = int(rows.min()), int(rows.max())
        condition = f"rowid BETWEEN {first} AND {last}"
        if last - first > _RANGE_WASTE * len(rows):
            condition = f"rowid IN ({','.join(map(str, rows))})"
        found = self._world.connection.execute(f"SELECT rowid, body FROM backstage.passes WHERE {condition}")
        bodies: dict[int, str] = dict(found.fetchall())
        return [bodies[row] for row in rows.tolist()]


def _order(number: int, sort: Mapping[str, str]) -> Clause:
    where = f"sortBy[{number}]"
    direction = sort.get("direction", "ASC").upper()
    if direction not in _DIRECTIONS:
        raise InvalidQueryError({f"{where}.direction": [f"The value '{direction}' is not valid."]})
    column, values = _column(where, sort.get("field", ""), _SORT_FIELDS)
    return f"{column} {direction} NULLS LAST", values


def _filter(number: int, parts: Mapping[str, str]) -> Clause:
    where = f"filter[{number}]"
    operator = parts.get("operator", "equals")
    if operator not in _OPERATORS:
        raise InvalidQueryError({f"{where}.operator": [f"The operator '{operator}' is not supported."]})
    if "value" not in parts:
        raise InvalidQueryError({f"{where}.value": ["The value field is required."]})
    column, values = _column(where, parts.get("field", ""), _FILTER_FIELDS)
    return _OPERATORS[operator].format(column), (*values, parts["value"])


def _column(where: str, field: str, columns: Mapping[str, str]) -> Clause:
    if field in columns:
        return columns[field], ()
    if match := _MAP_FIELD.fullmatch(field):
        return f"({match[1]} ->> ?)", (_pointer(match[2]),)
    raise InvalidQueryError({f"{where}.field": [f"The field '{field}' is not supported."]})


def _pointer(name: str) -> str:
    """Return the JSON pointer to a member, whose name may have dots."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def joined(bodies: Iterable[Any]) -> bytes:
    """Return the JSON array of texts that are JSON already."""
    return f"[{','.join(bodies)}]".encode()
