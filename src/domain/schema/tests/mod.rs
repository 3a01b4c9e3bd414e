//! What schemas promise, across the files of this module.

mod corpora;
mod hostile;
mod messages;
mod samples;
mod suite;
mod theorem;
