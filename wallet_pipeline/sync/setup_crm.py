"""Prepare the CRM: create the fields that it lacks. The sync itself only checks them."""

from dataclasses import dataclass

from wallet_pipeline.sync.destination import Definitions, DefinitionsError, Destination


@dataclass(frozen=True)
class SetupResult:
    """Fields that were created, and fields that were there already."""

    created: tuple[str, ...]
    present: tuple[str, ...]


def setup_crm(destination: Destination) -> SetupResult:
    """Create the missing fields and return what was done; raises DefinitionsError and ServiceError."""
    before = destination.check_definitions()
    if before.missing:
        destination.create_definitions(before.missing)
        require_definitions(destination)
    return SetupResult(before.missing, before.present)


def require_definitions(destination: Destination) -> Definitions:
    """Return the definitions; raises DefinitionsError when one is missing or of a wrong form."""
    definitions = destination.check_definitions()
    if definitions.missing:
        raise DefinitionsError(
            f"{destination.name} lacks the fields {', '.join(definitions.missing)}. Run `wallet-pipeline setup-crm`"
            " with a token that may change definitions (for HubSpot: crm.schemas.contacts.write), then run again."
        )
    return definitions
