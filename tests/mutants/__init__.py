"""Named changes that each take one protecting line away, and the test that must then be red."""
