"""A site on loopback, without root: an archive behind a simulated router, for the demo."""
