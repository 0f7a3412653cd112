"""The command line: one small module per noun, each a thin caller of `pipeline.service`."""
