"""The sandbox: a local stand-in of each CRM's API, for people and tests. It names itself in every response."""
