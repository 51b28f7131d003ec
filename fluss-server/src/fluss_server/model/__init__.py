"""What a table is: data types, schemas, descriptors and the ids of their parts. No I/O, no pyarrow."""
