"""Tests of one store alone: its stored form, its settings, its faults."""
