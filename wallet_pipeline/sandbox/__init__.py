"""Local stand-ins of The Wallet Crew and HubSpot over real HTTP, and the world of customers that they show."""
