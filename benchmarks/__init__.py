"""The package against the raw drivers, doing the same durable work side by side. See README.md."""
