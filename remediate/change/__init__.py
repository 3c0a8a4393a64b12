"""A change's life: plan, the state machine, waves, resume, rollback."""
