"""The trend tables once more, in pandas and Python, pass by pass and day by day: no SQL, no running sums."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

WALLETS = ("apple", "google")
# What Insights calls the type of a pass that is in no list.
TOLD_TYPE = "gift"
_LONG_AGO, _NEVER = datetime(1, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001  UTC, as the warehouse keeps times


@dataclass(frozen=True)
class History:
    """What the warehouse knows: naive UTC times throughout."""

    days: list[date]
    # Moment, kind, pass id, wallet.
    events: list[tuple[datetime, str, str, str]]
    # By pass and wallet: installed, installed at, changed at.
    registers: dict[tuple[str, str], tuple[bool, datetime | None, datetime | None]]
    # By pass: type, created at.
    listed: dict[str, tuple[str, datetime]]
    snapshots: list[datetime]
    # Customer, status, from, to.
    statuses: list[tuple[str, str, datetime, datetime | None]]
    # Moment, pass id, wallet, source: deliveries that tell where an install came from.
    sources: list[tuple[datetime, str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Spell:
    """An installation."""

    pass_id: str
    wallet: str
    pass_type: str
    number: int
    begin: datetime | None
    end: datetime | None
    source: str | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether it goes on just before a moment."""
        return (self.begin or _LONG_AGO) < moment <= (self.end or _NEVER)


class Oracle:
    """Counts everything anew for each cell."""

    def __init__(self, history: History, zone: ZoneInfo, now: datetime) -> None:
        self.history, self.zone, self.now = history, zone, now
        told = dict.fromkeys((pass_id for _, _, pass_id, _ in history.events), TOLD_TYPE)
        self.types = told | {pass_id: pass_type for pass_id, (pass_type, _) in history.listed.items()}
        begins = {pass_id: at for at, kind, pass_id, _ in sorted(history.events, reverse=True) if kind == "created"}
        self.created = begins | {pass_id: created for pass_id, (_, created) in history.listed.items()}
        self.days = [day for day in history.days if self._is_read(day)]
        self.spells = [*self._spells()]

    def _utc(self, day: date) -> datetime:
        local = datetime.combine(day, datetime.min.time(), self.zone)
        return local.astimezone(UTC).replace(tzinfo=None)

    def bounds(self, day: date) -> tuple[datetime, datetime]:
        """Return begin and end of a local day."""
        return self._utc(day), self._utc(day + timedelta(days=1))

    def day_of(self, moment: datetime | None) -> date | None:
        """Return the local day of a moment, if it is one of the calendar."""
        day = None if moment is None else self.local(moment).date()
        return day if day in self.days else None

    def local(self, moment: datetime) -> datetime:
        """Return a moment in the zone."""
        return moment.replace(tzinfo=UTC).astimezone(self.zone)

    def _is_read(self, day: date) -> bool:
        start, end = self.bounds(day)
        touched = {start.date(), (end - timedelta(microseconds=1)).date()}
        return all(one in self.history.days or one > max(self.history.days) for one in touched)

    def _spells(self) -> Iterator[Spell]:
        told = defaultdict(list)
        for moment, kind, pass_id, wallet in self.history.events:
            if kind != "created" and wallet in WALLETS:
                told[pass_id, wallet].append((moment, kind))
        for pass_id, wallet in sorted({*told, *self.history.registers}):
            spells = _walk(sorted(told[pass_id, wallet]))
            self._put_right(spells, self.history.registers.get((pass_id, wallet)))
            sources = self._sources(spells, pass_id, wallet)
            for number, (begin, end) in enumerate(spells, start=1):
                source = sources.get(number - 1)
                yield Spell(pass_id, wallet, self.types.get(pass_id, ""), number, begin, end, source)

    def _sources(self, spells: list[list[datetime | None]], pass_id: str, wallet: str) -> dict[int, str]:
        """Return where installations came from, by their place, as the first delivery says that tells it."""
        found: dict[int, str] = {}
        for moment, of_pass, of_wallet, source in sorted(self.history.sources):
            if (of_pass, of_wallet) != (pass_id, wallet):
                continue
            begun = [n for n, (begin, _) in enumerate(spells) if (begin or _LONG_AGO) <= moment + timedelta(minutes=1)]
            if begun and moment <= (spells[begun[-1]][1] or _NEVER):
                found.setdefault(begun[-1], source)
        return found

    def _put_right(
        self, spells: list[list[datetime | None]], register: tuple[bool, datetime | None, datetime | None] | None
    ) -> None:
        """Let the present be as the register, or the next list of passes, has it."""
        last = spells[-1] if spells else None
        if register is None:
            if last and last[1] is None:
                later = [one for one in self.history.snapshots if one > (last[0] or _LONG_AGO)]
                last[1] = min(later, default=None)
            return
        installed, installed_at, changed_at = register
        begins = installed_at or _NEVER
        if installed and (last is None or ((last[0] or _LONG_AGO) < begins and (last[1] or _NEVER) <= begins)):
            spells.append([installed_at, None])
        elif installed and last:
            last[1] = None
        elif last and last[1] is None:
            last[1] = max(moment for moment in (changed_at, last[0]) if moment is not None)

    def daily(self) -> pd.DataFrame:
        """Return adoption_daily."""
        rows: list[dict[str, Any]] = []
        types = sorted({one.pass_type for one in self.spells} | {self.types.get(one, "") for one in self.created})
        for day in self.days:
            start, end = self.bounds(day)
            for pass_type in types:
                created = [at for one, at in self.created.items() if self.types.get(one, "") == pass_type and at < end]
                for wallet in WALLETS:
                    own = [one for one in self.spells if (one.pass_type, one.wallet) == (pass_type, wallet)]
                    begun = [one for one in own if one.begin is not None and start <= one.begin < end]
                    ended = [one for one in own if one.end is not None and start <= one.end < end]
                    active = sum(one.holds(end) for one in own)
                    rows.append({
                        "day": day, "pass_type": pass_type, "wallet": wallet, "installs": len(begun),
                        "uninstalls": len(ended), "net": len(begun) - len(ended),
                        "first_installs": sum(one.number == 1 for one in begun),
                        "reinstalls": sum(one.number > 1 for one in begun), "installed_passes": active,
                        "created_passes": sum(at >= start for at in created), "passes_so_far": len(created),
                        "installed_share": active / len(created) if created else float("nan"),
                    })  # fmt: skip
        return _with_means(pd.DataFrame(rows)) if rows else pd.DataFrame()

    def periods(self, frequency: str) -> pd.DataFrame:
        """Return adoption_weekly (W) or adoption_monthly (M)."""
        daily = self.daily()
        if daily.empty:
            return daily
        daily["period"] = pd.to_datetime(daily["day"]).dt.to_period(frequency).dt.start_time.dt.date
        flows = ("installs", "uninstalls", "net", "first_installs", "reinstalls", "created_passes")
        stocks = ("installed_passes", "passes_so_far", "installed_share")
        grouped = daily.sort_values("day").groupby(["period", "pass_type", "wallet"], as_index=False)
        return grouped.agg(
            days=("day", "count"),
            **{name: (name, "sum") for name in flows},
            **{name: (name, "last") for name in stocks},
        )

    def cohorts(self) -> list[tuple[Any, ...]]:
        """Return month, type, wallet, months since, passes, installed, retained, and the shares of both."""
        months = sorted({day.replace(day=1) for day in self.days})
        over = [month for month in months if self._is_whole(month)]
        groups: dict[tuple[date, str], list[str]] = defaultdict(list)
        for pass_id, created in self.created.items():
            groups[self.local(created).date().replace(day=1), self.types.get(pass_id, "")].append(pass_id)
        rows = []
        for (cohort, pass_type), passes in groups.items():
            for month in over:
                if month < cohort:
                    continue
                end = self._utc(_next(month))
                for wallet in (*WALLETS, "any"):
                    own = [one for one in self.spells if one.pass_id in passes and wallet in {one.wallet, "any"}]
                    installed = {one.pass_id for one in own if (one.begin or _LONG_AGO) < end}
                    retained = {one.pass_id for one in own if one.holds(end)}
                    since = (month.year - cohort.year) * 12 + month.month - cohort.month
                    counts = (len(passes), len(installed), len(retained))
                    shares = (len(installed) / len(passes), len(retained) / len(passes))
                    rows.append((cohort, pass_type, wallet, since, *counts, *shares))
        return sorted(rows)

    def _is_whole(self, month: date) -> bool:
        last = _next(month) - timedelta(days=1)
        return last in self.days and self.bounds(last)[1] <= self.now

    def time_to_install(self) -> list[tuple[Any, ...]]:
        """Return month, type, wallet, passes, installed, p50, p90 (hours, rounded), within an hour, a day, 7 and 30."""
        groups = defaultdict(list)
        for pass_id, created in self.created.items():
            for wallet in (*WALLETS, "any"):
                begins = [one.begin for one in self.spells if one.pass_id == pass_id and wallet in {one.wallet, "any"}]
                known = [one for one in begins if one is not None]
                hours = (
                    max(0.0, (min(known) - created).total_seconds() / 3600) if known and None not in begins else None
                )
                month = self.local(created).date().replace(day=1)
                groups[month, self.types.get(pass_id, ""), wallet].append(hours)
        rows = []
        for key, hours in groups.items():
            told = pd.Series([one for one in hours if one is not None], dtype=float)
            p50, p90 = (round(float(told.quantile(q)), 6) if len(told) else None for q in (0.5, 0.9))
            within = (int((told <= bound).sum()) for bound in (1, 24, 7 * 24, 30 * 24))
            rows.append((*key, len(hours), len(told), p50, p90, *within))
        return sorted(rows)

    def churn(self) -> list[tuple[Any, ...]]:
        """Return month, type, wallet, age, uninstalls, back within a day, 7 and 30 days."""
        groups: dict[tuple[Any, ...], list[timedelta | None]] = defaultdict(list)
        for one in self.spells:
            if (day := self.day_of(one.end)) is None or one.end is None:
                continue
            ages = [n for n in (1, 7, 30, 90, 365) if one.begin is not None and one.end - one.begin < timedelta(days=n)]
            nexts = [
                n for n in self.spells if (n.pass_id, n.wallet, n.number) == (one.pass_id, one.wallet, one.number + 1)
            ]
            back = nexts[0].begin - one.end if nexts and nexts[0].begin else None
            groups[day.replace(day=1), one.pass_type, one.wallet, min(ages, default=None)].append(back)
        return sorted(
            (
                (*key, len(backs), *(sum(b is not None and b < timedelta(days=n) for b in backs) for n in (1, 7, 30)))
                for key, backs in groups.items()
            ),
            key=str,
        )

    def by_source(self) -> list[tuple[Any, ...]]:
        """Return month, type, wallet, source, installs, still installed."""
        groups: dict[tuple[Any, ...], list[bool]] = defaultdict(list)
        for one in self.spells:
            if day := self.day_of(one.begin):
                key = (day.replace(day=1), one.pass_type, one.wallet, one.source or "unknown")
                groups[key].append(one.end is None)
        return sorted((*key, len(goes_on), sum(goes_on)) for key, goes_on in groups.items())

    def status_daily(self) -> list[tuple[Any, ...]]:
        """Return day, status, customers."""
        if not self.history.statuses:
            return []
        first = min(begin for _, _, begin, _ in self.history.statuses)
        return sorted(
            (day, status, sum(s == status and b < end <= (e or _NEVER) for _, s, b, e in self.history.statuses))
            for day in self.days
            if (end := self.bounds(day)[1]) > first
            for status in ("none", "apple", "google", "both")
        )

    def switches(self) -> list[tuple[Any, ...]]:
        """Return day, from, to, customers."""
        counts: dict[tuple[Any, ...], int] = defaultdict(int)
        for customer, status, begin, end in self.history.statuses:
            own = [one for one in self.history.statuses if one[0] == customer]
            before = next((one[1] for one in own if one[3] == begin), "new")
            if before != status and (day := self.day_of(begin)):
                counts[day, before, status] += 1
            if end is not None and not any(one[2] == end for one in own) and (day := self.day_of(end)):
                counts[day, status, "gone"] += 1
        return sorted((*key, count) for key, count in counts.items())


def _with_means(daily: pd.DataFrame) -> pd.DataFrame:
    """Add the means over a day and the six before it, as far as they are there."""
    dated = daily.assign(at=pd.to_datetime(daily["day"]))
    week = dated.set_index("at").groupby(["pass_type", "wallet"])[["installs", "uninstalls"]].rolling("7D")
    return dated.join(week.mean().add_suffix("_7d_mean"), on=["pass_type", "wallet", "at"]).drop(columns="at")


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _walk(events: list[tuple[datetime, str]]) -> list[list[datetime | None]]:
    """Return begins and ends by the events of a pass in a wallet; of one moment, the install comes first."""
    spells: list[list[datetime | None]] = []
    for moment, kind in events:
        installs = kind == "installed"
        is_open = bool(spells) and spells[-1][1] is None
        if installs and not is_open:
            spells.append([moment, None])
        elif not installs and is_open:
            spells[-1][1] = moment
        elif not installs and not spells:
            spells.append([None, moment])
    return spells
