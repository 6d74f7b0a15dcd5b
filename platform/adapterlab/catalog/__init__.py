"""What is already known: tables, queries, leases, blobs, migrations."""
