"""Sessions in BigQuery: four tables, every write one job of one transaction."""
