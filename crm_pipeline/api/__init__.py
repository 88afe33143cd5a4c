"""What applications ask over HTTP: select contacts, what became of them, is the CRM's account usable? `docs/api.md`."""
