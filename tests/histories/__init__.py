"""Random histories of several operators on several archives, judged by an oracle that shares nothing with the product.

``language``: what a history is made of; ``generate``: one from a seed. ``prompt``: the command line, of any tree.
``router``, ``firewall``: two sites on which it acts, read by means of their own; ``wire``: real connections;
``journal``: the record, read with sqlite3. ``play`` carries a history out, ``oracle`` says after each step what must
hold.
"""
