"""The program `mre`: wires settings, command line, console, simulator. Holds no ingestion logic."""
