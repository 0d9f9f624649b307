"""Tests that one store needs and the shared suites do not hold."""
