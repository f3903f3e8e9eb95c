"""What a replica still does after its measured span: profile, phases, quality, convergence."""
