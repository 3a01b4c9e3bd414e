-- What a node knows: records as plain JSON with their stamps beside, so that lists, exports and people's own SQL stay
-- plain; what changed and how; what waits; and the small ordinals that types, partitions, authors and names have here.

create table node (
  one integer primary key,
  seq integer not null,
  clock integer not null,
  constraint node_is_one check (one = 1)
) strict;

insert into node (one, seq, clock)
values (1, 0, 0);

create table type (
  ordinal integer primary key,
  name text not null,
  constraint type_name unique (name)
) strict;

-- the first one is known to indexes below
insert into type (ordinal, name)
values (1, '_lost');

create table partition (
  ordinal integer primary key,
  name text not null,
  head integer not null,
  records integer not null,
  digest blob not null,
  constraint partition_name unique (name)
) strict;

create table author (
  ordinal integer primary key,
  node integer not null,
  incarnation integer not null,
  person blob not null,
  constraint author_is_one unique (node, incarnation, person)
) strict;

create table name (
  ordinal integer primary key,
  name text not null,
  constraint name_is_one unique (name)
) strict;

-- facet is 0: fields that some edges must not hold will get a row of their own
create table record (
  number integer primary key,
  type integer not null,
  id blob not null,
  facet integer not null,
  partition integer not null,
  seq integer not null,
  flags integer not null,
  stamps blob not null,
  doc text not null,
  constraint record_key unique (type, id, facet)
) strict;

create index record_change
on record (partition, seq);

create index record_binned
on record (type, id)
where flags & 1 = 1;

create index record_flagged
on record (seq)
where flags > 1;

create index record_about
on record (doc ->> '$.record')
where type = 1;

create table tally (
  type integer not null,
  flags integer not null,
  records integer not null,
  constraint tally_key primary key (type, flags)
) strict, without rowid;

-- a line without an act is not shown: it remembers what a write had seen
create table history (
  number integer primary key,
  record integer not null,
  seq integer not null,
  time integer not null,
  author integer not null,
  tag integer not null,
  path text not null,
  act integer,
  old text,
  new text,
  seen_time integer,
  seen_author integer,
  seen_tag integer,
  seen_at integer not null
) strict;

create index history_record
on history (record, number);

-- unchecked: what has to be known to bring the save to corrected time before it is sent
create table outbox (
  position integer primary key,
  save blob not null,
  body blob not null,
  unchecked blob,
  constraint outbox_save unique (save)
) strict;

create index outbox_unchecked
on outbox (position)
where unchecked is not null;

create table unsent (
  position integer not null,
  record integer not null,
  constraint unsent_key primary key (position, record)
) strict, without rowid;

create index unsent_record
on unsent (record, position);

-- saves of records that are not here
create table waiting (
  number integer primary key,
  type integer not null,
  id blob not null,
  body blob not null
) strict;

create index waiting_record
on waiting (type, id);

-- records that left a partition
create table moved (
  partition integer not null,
  type integer not null,
  id blob not null,
  seq integer not null,
  time integer not null,
  author integer not null,
  tag integer not null,
  constraint moved_key primary key (type, id, partition)
) strict, without rowid;

create index moved_change
on moved (partition, seq);

-- documents of this node alone
create table local (
  kind text not null,
  key text not null,
  doc text not null,
  constraint local_key primary key (kind, key)
) strict, without rowid;

-- indexes this node made for lists that people look at
create table list_index (
  name text primary key,
  type integer not null,
  terms text not null
) strict;
