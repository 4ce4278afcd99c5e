"""Generates the reference pages of the site from the sources that they describe."""
