"""Geo-sparse networks: measured next to psann, torch and dense ones, and written down in a folder."""
