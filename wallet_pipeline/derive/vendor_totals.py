"""The vendor's own totals of installed passes, compared with the registers."""

from dataclasses import dataclass

import duckdb

from wallet_pipeline.warehouse.queries import one_row

# Passes go on being installed while a run goes on, so a few are no disagreement.
_A_FEW, _SHARE = 5, 0.005


@dataclass(frozen=True)
class VendorTotal:
    """How many passes are installed in a wallet, by the vendor's count, by the registers, and forgotten ones."""

    wallet: str
    vendor: int
    registers: int
    forgotten: int

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than a few passes, or half a percent."""
        return abs(self.vendor - self.registers - self.forgotten) <= max(_A_FEW, _SHARE * self.vendor)

    def __str__(self) -> str:
        forgotten = f", and {self.forgotten} are forgotten" if self.forgotten else ""
        return f"The vendor counts {self.vendor} passes in {self.wallet}, the registers {self.registers}{forgotten}."


def compare_total(con: duckdb.DuckDBPyConnection, wallet: str, vendor: int) -> VendorTotal:
    """Return the vendor's number of passes installed in `wallet`, apple or google, beside that of wallet.registers.

    Passes that are forgotten are in no register; the last accepted snapshot counted them.
    """
    registers, forgotten = one_row(
        con,
        "SELECT (SELECT count(*) FROM wallet.registers WHERE installed AND wallet = $wallet),"
        " (SELECT CASE $wallet WHEN 'apple' THEN forgotten_apple ELSE forgotten_google END FROM raw.snapshots"
        " WHERE verdict = 'accepted' ORDER BY snapshot_id DESC LIMIT 1)",
        {"wallet": wallet},
    )
    return VendorTotal(wallet, vendor, int(registers), int(forgotten or 0))
