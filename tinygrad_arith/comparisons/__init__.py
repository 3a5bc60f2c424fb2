"""Many runs: training them, medians and bands over seeds."""
