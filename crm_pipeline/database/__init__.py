"""The database: connections, the embedded server, migrations, and whether the catalogue is as it must be."""
