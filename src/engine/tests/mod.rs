//! The judge's branches, one script each.

mod bench;
mod coercion;
mod commits;
mod life;
mod patrol;
mod replan;
mod rewind;
mod rows;
mod scopes;
mod shelf;

use bench::{Bench, check};
