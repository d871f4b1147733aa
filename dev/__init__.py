"""Tools for developing this provider; not part of the package."""
