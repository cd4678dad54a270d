"""Notations a formula can be written in."""
