"""What is claimed about speed, measured: ratios taken in one interleaved run."""
