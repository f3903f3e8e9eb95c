"""What is asked of Linux: CPUs, processes, locks, the C compiler. Standard library only."""
