-- What follows reads an index in its order and stops early. A bitmap would be of the whole index, each time anew.
SET LOCAL enable_bitmapscan = off
