//! The judge's branches, one script each.

mod bench;
mod commits;
mod life;
mod patrol;
mod rows;
mod scopes;

use bench::{Bench, check};
