"""The relational store: one model, one repository, two dialects."""
