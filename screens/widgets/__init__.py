"""Parts that several screens are made of. Each takes plain values and shows them; none knows a service, SQL or a thread."""
