"""A Cisco IOS router (15.7 train) as its manager and its packets meet it."""
