"""The steps from each version of the schema to the next. `migrate` runs them; this package is never imported by others."""
