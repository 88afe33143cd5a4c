"""One module per CRM: plain HTTP, contacts in, outcomes out."""
