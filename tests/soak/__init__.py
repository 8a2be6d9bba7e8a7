"""The long forms of tests that `make test` runs shortly."""
