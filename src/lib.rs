//! **outpost**: forms and records that work where the network does not.
//!
//! The modules in reading order. Arrows point one way: `main → web, sync → node → store → domain` and `web → views → domain`.
//! `domain` and `views` compute and do nothing else, so they build for the browser too; all the rest stands behind the
//! feature `server`.

pub mod domain;
#[cfg(feature = "server")]
pub mod meter;
#[cfg(feature = "server")]
pub mod node;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod sync;
pub mod views;
#[cfg(all(target_arch = "wasm32", not(feature = "server")))]
mod wasm;
#[cfg(feature = "server")]
pub mod web;
#[cfg(feature = "server")]
pub mod world;
