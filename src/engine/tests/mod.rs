//! The judge's branches, one script each.

mod bench;
mod life;
mod rows;
mod scopes;

use bench::{Bench, check};
