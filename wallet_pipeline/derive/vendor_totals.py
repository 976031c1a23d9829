"""The vendor's own totals of installed passes, compared with the registers."""

from dataclasses import dataclass

import duckdb

# Passes go on being installed while a run goes on, so a few are no disagreement.
_A_FEW, _SHARE = 5, 0.005


@dataclass(frozen=True)
class VendorTotal:
    """How many passes are installed in a wallet, by the vendor's count and by the registers."""

    wallet: str
    vendor: int
    registers: int

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than a few passes, or half a percent."""
        return abs(self.vendor - self.registers) <= max(_A_FEW, _SHARE * self.vendor)

    def __str__(self) -> str:
        return f"The vendor counts {self.vendor} passes in {self.wallet}, the registers {self.registers}."


def compare_total(con: duckdb.DuckDBPyConnection, wallet: str, vendor: int) -> VendorTotal:
    """Return the vendor's number of passes installed in `wallet`, apple or google, beside that of wallet.registers."""
    (registers,) = con.execute(
        "SELECT count(*) FROM wallet.registers WHERE installed AND wallet = ?", [wallet]
    ).fetchone() or (0,)
    return VendorTotal(wallet, vendor, int(registers))
