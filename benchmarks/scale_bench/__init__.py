"""What a hundred thousand records cost, this build beside an earlier one."""
