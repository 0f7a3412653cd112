"""The program `mre`: wires settings, command line, console and simulator to the pipeline's service. No ingestion logic."""
