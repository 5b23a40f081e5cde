"""What is asked of a device: one module per area."""
