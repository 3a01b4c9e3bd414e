//! The binary as a person or a script meets it: what it prints, how it ends, what is on disk afterwards.

mod backup;
mod bundle_files;
mod bundles;
mod commands;
mod copying;
mod demo;
mod directory;
mod doctor;
mod figures;
mod file_lane;
mod forgetting;
mod joining;
mod peers;
mod quarantine;
mod reaching;
mod records;
mod run;
mod serving;
