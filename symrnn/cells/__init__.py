"""The cells of the gallery: one file each."""
