"""Does drift detection notice what LiveRC may do to its pages, and does repair propose the right thing?"""
