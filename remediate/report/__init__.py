"""What a person reads: tables, plans, records."""
