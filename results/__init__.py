"""What a run leaves: a folder of results, its tables, manifest and snapshots."""
