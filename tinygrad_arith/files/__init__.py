"""Files of any package: JSON read with limits, and files that appear whole or not at all."""
