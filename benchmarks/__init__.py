"""Side-by-side measurements; `make bench` prints their tables. No number here is asserted anywhere."""
