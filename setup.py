"""What pyproject.toml cannot say: packages are found in three folders, so that a new target's folder needs no entry."""

from setuptools import find_packages, setup

FOLDERS = {"symrnn": "symrnn", "symrnn.templates": "templates", "symrnn.generated": "generated"}

setup(
    package_dir=FOLDERS,
    packages=[p for name, folder in FOLDERS.items() for p in (name, *(f"{name}.{q}" for q in find_packages(folder)))],
)
