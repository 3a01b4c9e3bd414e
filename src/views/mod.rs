//! Pages and partials as askama structs: domain values in, HTML out, no I/O.
