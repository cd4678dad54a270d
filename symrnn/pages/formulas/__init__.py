"""Displayed mathematics as data, and how it is read off a derivation."""
