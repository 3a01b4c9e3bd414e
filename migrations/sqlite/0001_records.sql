-- The first form of a node's memory: records with their packed stamps, and what travels or stays beside them.

create table type (
    ordinal integer primary key,
    name text not null constraint type_name unique
);

-- our own types come first, so that statements can name them
insert into type (ordinal, name)
values (1, '_type'), (2, '_revision'), (3, '_person'), (4, '_lost');

create table name (
    ordinal integer primary key,
    text text not null
);

create table author (
    ordinal integer primary key,
    node integer not null,
    incarnation integer not null,
    person blob not null
);

-- a disjoint part of all records; cursors run through one
create table partition (
    ordinal integer primary key,
    name text not null constraint partition_name unique,
    head integer not null,
    records integer not null,
    digest text not null,
    epoch integer,
    base integer,
    after integer
);

create table record (
    rowid integer primary key,
    type integer not null,
    id blob not null,
    facet integer not null default 0,
    partition integer not null,
    doc text not null,
    stamps blob not null,
    seq integer not null,
    flags integer not null,
    constraint record_key unique (type, id, facet)
);

create index record_seq on record (partition, seq);

create index record_flagged on record (flags) where flags & 30 != 0;

-- the records of a type in order of change; lists without a wish for another order
create index record_changed on record (type, seq);

-- the entries of what a record lost
create index record_lost on record (json_extract(doc, '$.record')) where type = 4;

create table history (
    type integer not null,
    id blob not null,
    seq integer not null,
    line integer not null,
    time integer not null,
    author integer not null,
    tag integer not null,
    path text not null,
    act text not null,
    old text,
    new text,
    replaced_time integer not null,
    replaced_author integer not null,
    replaced_tag integer not null,
    seen_at integer not null,
    primary key (type, id, seq, line)
) without rowid;

-- saves the hub has not acknowledged, byte for byte
create table outbox (
    position integer primary key autoincrement,
    save blob not null constraint outbox_save unique,
    body blob not null
);

create table outbox_record (
    type integer not null,
    id blob not null,
    save blob not null,
    primary key (type, id, save)
) without rowid;

-- saves of records that are not here yet
create table waiting (
    position integer primary key autoincrement,
    type integer not null,
    id blob not null,
    body blob not null
);

create index waiting_record on waiting (type, id);

-- records that left a partition
create table moved (
    partition integer not null,
    seq integer not null,
    type integer not null,
    id blob not null,
    time integer not null,
    author integer not null,
    tag integer not null,
    primary key (partition, seq)
) without rowid;

-- documents of this node alone, which never travel
create table local (
    kind text not null,
    key text not null,
    doc text not null,
    primary key (kind, key)
) without rowid;

create table standing (
    one integer primary key constraint standing_one check (one = 1),
    clock integer not null,
    seq integer not null,
    waiting integer not null
);

insert into standing (one, clock, seq, waiting)
values (1, 0, 0, 0);
