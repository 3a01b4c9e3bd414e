-- So that it shows when the database is put back to an earlier state: numbers that are given twice are given in two runs.

create table run (
  first integer primary key,
  tag integer not null
) strict;
