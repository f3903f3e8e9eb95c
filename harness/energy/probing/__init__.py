"""What a sensor's counter really does: its update period, lag and filter, measured."""
