//! JSON Lines exactly as `kcat -C -J` prints them.
