"""What `make bench` runs: what the authority's calls cost, beside what they are made of, in one run on one machine."""
